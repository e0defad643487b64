//! What a decoder holds while a frame or a message is incomplete.

use super::{
    Incoming, Limits, Violation, control,
    header::{self, FrameHeader},
    mask,
    message::{Message, append},
};

#[derive(Default)]
pub(super) struct Partial {
    /// The beginning of a header, while that is incomplete.
    header: [u8; header::LONGEST],
    header_length: usize,
    /// The frame whose payload is being read. Its `length` and `key` are those of what is missing.
    frame: Option<FrameHeader>,
    /// The data message so far, over all of its frames.
    message: Option<Message>,
    /// The control frame so far; it may stand between two frames of a message.
    control: Vec<u8>,
}

impl Partial {
    /// See `Decoder::next`.
    pub(super) fn next(&mut self, input: &mut &[u8], limits: &Limits) -> Result<Option<Incoming>, Violation> {
        loop {
            if self.frame.is_none() {
                let Some(header) = self.read_header(input, limits)? else { return Ok(None) };
                self.begin_frame(header, limits)?;
            }
            if !self.read_payload(input)? {
                return Ok(None);
            }
            if let Some(incoming) = self.end_frame(limits)? {
                return Ok(Some(incoming));
            }
        }
    }

    /// Collects a header that arrives in pieces. `None`: more bytes are needed.
    fn read_header(&mut self, input: &mut &[u8], limits: &Limits) -> Result<Option<FrameHeader>, Violation> {
        let old = self.header_length;
        let new = input.len().min(header::LONGEST - old);
        self.header[old..old + new].copy_from_slice(&input[..new]);
        if let Some((header, length)) = header::parse(&self.header[..old + new], self.message.is_some(), limits)? {
            *input = &input[length - old..];
            self.header_length = 0;
            return Ok(Some(header));
        }
        *input = &input[new..];
        self.header_length = old + new;
        Ok(None)
    }

    fn begin_frame(&mut self, header: FrameHeader, limits: &Limits) -> Result<(), Violation> {
        if !header.is_control() {
            let message = self.message.get_or_insert_with(|| Message::new(header.opcode, header.compressed));
            message.check_room(header.length, limits)?;
        }
        self.frame = Some(header);
        Ok(())
    }

    /// False: more bytes are needed.
    fn read_payload(&mut self, input: &mut &[u8]) -> Result<bool, Violation> {
        let Some(frame) = &mut self.frame else { return Ok(false) };
        let (bytes, rest) = input.split_at(input.len().min(frame.length));
        *input = rest;
        frame.length -= bytes.len();
        // only the last frame knows where its message ends
        let to_come = frame.fin.then_some(frame.length);
        match &mut self.message {
            Some(message) if !frame.is_control() => message.push(bytes, frame.key, to_come)?,
            _ => append(&mut self.control, bytes, frame.key, to_come),
        }
        frame.key = mask::after(frame.key, bytes.len());
        Ok(frame.length == 0)
    }

    fn end_frame(&mut self, limits: &Limits) -> Result<Option<Incoming>, Violation> {
        let Some(frame) = self.frame.take() else { return Ok(None) };
        if frame.is_control() {
            return control::read(frame.opcode, std::mem::take(&mut self.control)).map(Some);
        }
        match self.message.take() {
            Some(message) if frame.fin => message.finish(limits).map(Some),
            unfinished => {
                self.message = unfinished;
                Ok(None)
            }
        }
    }

    /// Nothing is incomplete any more.
    pub(super) fn is_over(&self) -> bool {
        self.header_length == 0 && self.frame.is_none() && self.message.is_none()
    }

    pub(super) fn is_within_message(&self) -> bool {
        self.message.is_some()
    }

    /// Bytes of memory kept, itself included.
    pub(super) fn capacity(&self) -> usize {
        size_of::<Self>() + self.control.capacity() + self.message.as_ref().map_or(0, Message::capacity)
    }
}
