// The client as applications see it. It puts the parts together; each of them decides for itself.

import type { ResumePoint } from './cursors.js';
import { checkId, checkSeq, draftOf, type SendOptions } from './draft.js';
import { ChatError } from './errors.js';
import type {
  ClientFrame,
  Connected,
  Gap,
  Left,
  Notification,
  Presence,
  Refusal,
  RoomRecord,
  ServerFrame,
  Status,
  Typing,
} from './frames.js';
import { Intake } from './intake.js';
import { Lifeline, type State, type StateChange } from './lifeline.js';
import { Listeners } from './listeners.js';
import { type ClientOptions, type Settings, settingsOf } from './options.js';
import { type Draft, Outbox, type Sent } from './outbox.js';
import { type Kept, Persistence } from './persistence.js';
import { Receipts } from './receipts.js';
import { type JoinOptions, Rooms } from './rooms.js';
import { Sender } from './sender.js';
import { listenToSurroundings } from './surroundings.js';
import { TypingNotices } from './typing.js';

/** What can be listened to with `on`. */
export interface ClientEvents {
  state: StateChange;
  /** A message of the outbox is stored. */
  sent: Sent;
  /** A message of the outbox will not be sent; `clientMsgId` says which. */
  failed: ChatError;
  typing: Typing;
  status: Status;
  presence: Presence;
  notification: Notification;
  /** Somebody put it on `message.created` for a room that was joined. */
  record: RoomRecord;
  /** Records of a room that was joined may be missing. */
  gap: Gap;
  /** The server ended a room that was joined. */
  left: Left;
  /** The server refused something that is no message. */
  refused: Refusal;
  /** Something on this side failed and is tried again. Written to the console where nobody listens. */
  error: ChatError;
}

/** For handlers to finish at the close. */
const WAIT_MS = 5_000;

export class Client {
  readonly #settings: Settings;
  readonly #listeners: Listeners<ClientEvents>;
  readonly #lifeline: Lifeline;
  readonly #outbox: Outbox;
  readonly #sender: Sender;
  readonly #receipts: Receipts;
  readonly #intake: Intake;
  readonly #persistence: Persistence | undefined;
  readonly #typing: TypingNotices;
  readonly #rooms: Rooms;
  /** Whose positions and messages are here, once that is known. */
  #owner: string | undefined;
  #stopListening: (() => void) | undefined;
  #restoring: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    const settings = settingsOf(options);
    const { clock, random, storage, storageKey } = settings;
    const onTrouble = (error: ChatError) => this.#trouble(error);
    this.#settings = settings;
    this.#listeners = new Listeners((thrown, type) => this.#listenerFailed(thrown, type));
    this.#outbox = new Outbox(settings.outboxLimits);
    this.#persistence =
      storage &&
      new Persistence({
        storage,
        key: storageKey,
        clock,
        snapshot: () => this.#snapshot(),
        onTrouble: (thrown) => onTrouble(new ChatError('storage_failed', `storage: ${String(thrown)}`, { cause: thrown })),
      });
    const transmit = (frame: ClientFrame) => this.#lifeline.send(frame);
    this.#receipts = new Receipts({ clock, transmit });
    this.#typing = new TypingNotices({ clock, transmit });
    this.#rooms = new Rooms({
      clock,
      transmit,
      received: (roomId) => this.#intake.cursors.received(roomId),
      onBegin: (roomId, seq) => this.#intake.cursors.place(roomId, seq),
      onOver: (roomId) => this.#intake.cursors.forget(roomId),
      onGap: (gap) => this.#listeners.emit('gap', gap),
    });
    this.#sender = new Sender({
      outbox: this.#outbox,
      clock,
      random,
      transmit,
      onDoubt: () => this.#lifeline.probe(),
      onUnanswered: () => this.#lifeline.recycle(),
      onChange: () => this.#persistence?.changed('outbox'),
      onSent: (sent) => this.#listeners.emit('sent', sent),
      onFailed: (error) => this.#listeners.emit('failed', error),
    });
    this.#intake = new Intake({
      handlers: settings.handlers,
      receipts: this.#receipts,
      limits: settings.intakeLimits,
      clock,
      random,
      isVisited: (conversationId) => this.#rooms.isVisited(conversationId),
      onWanting: () => this.#lifeline.recycle(),
      onMoved: () => this.#persistence?.changed('resume'),
      onTrouble,
    });
    this.#lifeline = new Lifeline({
      ...settings,
      resume: () => this.#intake.cursors.resume(),
      onState: (change) => this.#listeners.emit('state', change),
      onConnected: (frame) => this.#connected(frame),
      onDisconnected: (code) => this.#sender.disconnected(code),
      onFrame: (frame) => this.#frame(frame),
      onTrouble,
      onStopped: (error) => void this.#finish(WAIT_MS, error),
    });
  }

  get state(): State {
    return this.#lifeline.state;
  }

  /** Who the token says this is; known once connected. */
  get userId(): string | undefined {
    return this.#owner;
  }

  /** Starts, and keeps at it until `close`. */
  connect(): void {
    if (this.#closing) throw new ChatError('closed', 'the client was closed: make a new one');
    if (this.#stopListening) return;
    this.#stopListening = listenToSurroundings({
      onNetwork: () => this.wake(),
      onLeaving: () => void this.#persistence?.flush(),
    });
    void this.#start();
  }

  /**
   * Resolves when the message is stored, however many connections that takes; rejects with the server's code when it is
   * refused for good. It may be called at any time: what cannot be sent now waits. A rejection that nobody looks at does
   * no harm, `failed` tells of it too.
   */
  send(conversationId: string, content: string, options: SendOptions = {}): Promise<Sent> {
    const draft = draftOf(conversationId, content, options, this.#settings.maxContentBytes);
    if (draft instanceof ChatError) return Promise.reject(draft);
    const { clientMsgId } = draft;
    if (!this.#closing) return this.#sender.send(draft);
    return Promise.reject(new ChatError('closed', 'the client was closed', { clientMsgId, conversationId }));
  }

  /** Gives a message up; false when it is not waiting (any more). One on its way may be stored all the same. */
  cancel(clientMsgId: string): boolean {
    return this.#sender.cancel(clientMsgId);
  }

  /** The messages that wait, in the order they were written. */
  pending(): Draft[] {
    return this.#outbox.drafts().map((draft) => ({ ...draft }));
  }

  /** The user read everything up to `seq`. (What was handled is acknowledged by itself.) */
  read(conversationId: string, seq: number): void {
    checkId('conversationId', conversationId);
    checkSeq(seq);
    this.#receipts.read(conversationId, seq);
  }

  /** Passed on now or not at all. */
  typing(conversationId: string, isTyping: boolean): void {
    this.#typing.changed(conversationId, isTyping);
  }

  /**
   * Listens to a room until `leave`, also after reconnects: its events go where all events go, its records to `record`.
   * Resolves once it is heard; rejects with the server's code when it may not be.
   */
  join(roomId: string, options: JoinOptions = {}): Promise<void> {
    checkId('roomId', roomId);
    if (this.#closing) return Promise.reject(new ChatError('closed', 'the client was closed', { conversationId: roomId }));
    return this.#rooms.join(roomId, options);
  }

  /** False: it was not joined. */
  leave(roomId: string): boolean {
    return this.#rooms.leave(roomId);
  }

  /** The application has the events up to `seq` from elsewhere (REST): they are not handed out. */
  advance(conversationId: string, seq: number): void {
    checkId('conversationId', conversationId);
    checkSeq(seq);
    this.#intake.advance(conversationId, seq);
  }

  /** What was handled, for a later client's `resumeFrom`. */
  resumePoint(): ResumePoint {
    return this.#intake.cursors.done();
  }

  /** Returns the function that ends it. */
  on<Type extends keyof ClientEvents>(type: Type, listener: (value: ClientEvents[Type]) => void): () => void {
    return this.#listeners.on(type, listener);
  }

  /** Something may have changed (the machine woke up): looks whether the server is there, or tries to connect now. */
  wake(): void {
    this.#lifeline.wake();
  }

  /**
   * Ends it. No event is handed out any more; resolves when the handlers that run have finished (within `waitMs`, 5 s
   * when not given) and everything was written to the storage. Sends that wait reject with `closed`; with a storage they
   * go out after the next start. A handler must not wait for it.
   */
  close({ waitMs = WAIT_MS }: { waitMs?: number } = {}): Promise<void> {
    return this.#finish(waitMs);
  }

  async #start(): Promise<void> {
    await this.#restore();
    if (!this.#closing) this.#lifeline.start();
  }

  #restore(): Promise<void> {
    this.#restoring ??= this.#load();
    return this.#restoring;
  }

  async #load(): Promise<void> {
    const kept: Kept = (await this.#persistence?.load()) ?? { resume: { seqs: {} }, drafts: [] };
    this.#owner = kept.userId;
    const { cursors } = this.#intake;
    // what the application says wins, also where it is lower
    for (const { seqs, position } of [kept.resume, this.#settings.resumeFrom]) {
      for (const [conversationId, seq] of Object.entries(seqs)) cursors.place(conversationId, seq);
      cursors.position = position ?? cursors.position;
    }
    this.#outbox.restore(kept.drafts);
    this.#persistence?.open();
  }

  #connected({ userId }: Connected): void {
    const isSomebodyElse = this.#owner !== undefined && this.#owner !== userId;
    if (isSomebodyElse) this.#forgetOwner(userId);
    this.#owner = userId;
    // this session goes on from where somebody else was
    if (isSomebodyElse) return this.#lifeline.recycle();
    this.#typing.connected();
    this.#intake.connected(userId);
    this.#sender.connected();
    this.#receipts.connected();
    this.#rooms.connected();
  }

  /** The token is somebody else's now: what is here must not reach them, nor keep from them what is theirs. */
  #forgetOwner(userId: string): void {
    this.#intake.clear();
    this.#rooms.clear('other_user', `it was joined by ${this.#owner}, and this is ${userId}`);
    this.#sender.giveUp('other_user', `it was written by ${this.#owner}, and this is ${userId}`);
    this.#persistence?.changed('resume');
    this.#persistence?.changed('outbox');
  }

  #frame(frame: ServerFrame): void {
    switch (frame.type) {
      case 'EVENT':
        if (this.#rooms.isLeaving(frame.event.conversationId)) return undefined;
        this.#sender.stored(frame.event, this.#owner);
        return this.#intake.event(frame.event);
      case 'RESYNC':
        return this.#intake.resync(frame);
      case 'POSITION':
        return this.#intake.position(frame.position);
      case 'ACK':
        return this.#sender.acknowledged(frame);
      case 'TYPING':
        return this.#listeners.emit('typing', frame);
      case 'STATUS':
        return this.#listeners.emit('status', frame);
      case 'PRESENCE':
        return this.#listeners.emit('presence', frame);
      case 'NOTIFICATION':
        return this.#listeners.emit('notification', frame);
      case 'JOINED':
        return this.#rooms.joined(frame);
      case 'message':
        if (this.#rooms.record(frame)) this.#listeners.emit('record', frame);
        return undefined;
      case 'GAP':
        if (this.#rooms.gap(frame)) this.#listeners.emit('gap', frame);
        return undefined;
      case 'LEFT':
        if (this.#rooms.left(frame)) this.#listeners.emit('left', frame);
        return undefined;
      case 'ERROR':
        if (frame.roomId !== undefined) return this.#roomRefused(frame);
        if (!this.#sender.refused(frame)) this.#listeners.emit('refused', frame);
        return undefined;
      default:
        return undefined;
    }
  }

  #roomRefused(frame: Refusal): void {
    const told = this.#rooms.refused(frame);
    if (told) this.#listeners.emit('refused', told);
  }

  #snapshot(): Kept {
    return {
      ...(this.#owner !== undefined && { userId: this.#owner }),
      resume: this.resumePoint(),
      drafts: this.#outbox.drafts(),
    };
  }

  #finish(waitMs: number, error?: ChatError): Promise<void> {
    this.#closing ??= this.#close(waitMs, error);
    return this.#closing;
  }

  async #close(waitMs: number, error: ChatError | undefined): Promise<void> {
    this.#stopListening?.();
    const { clock } = this.#settings;
    const handlers = this.#intake.stop();
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
      timer = clock.setTimeout(resolve, waitMs);
    });
    // `#closing` is set before anybody hears of it
    await undefined;
    this.#rooms.clear(error?.code ?? 'closed', error?.message ?? 'the client was closed');
    this.#sender.stop(error?.code ?? 'closed', error?.message ?? 'the client was closed');
    await Promise.race([handlers, late]);
    clock.clearTimeout(timer);
    this.#intake.abandon();
    this.#receipts.flush();
    this.#receipts.clear();
    this.#lifeline.stop(error);
    if (this.#persistence) await this.#restore();
    await this.#persistence?.close();
    this.#listeners.clear();
  }

  #trouble(error: ChatError): void {
    if (this.#listeners.has('error')) this.#listeners.emit('error', error);
    else console.error(error);
  }

  #listenerFailed(thrown: unknown, type: keyof ClientEvents): void {
    const error = new ChatError('listener_failed', `a listener of ${type} failed: ${String(thrown)}`, { cause: thrown });
    // a listener of `error` that throws cannot be told of it
    if (type === 'error') console.error(error);
    else this.#trouble(error);
  }
}
