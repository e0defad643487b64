// One conversation's place in its log: which event is next, which came too early, what is missing. Pure.

/** Early events kept until the gap before them is filled; what does not fit is fetched with the gap. */
const HOLD_LIMIT = 1000;

export class Sequence {
  #hold = new Map();

  /** `position`: the last seq that was handled; everything up to it counts as seen. */
  constructor(position = 0) {
    this.position = position;
    /** The highest seq heard of. */
    this.head = position;
  }

  get hasGap() {
    return this.head > this.position;
  }

  /** Takes one event in any order, as often as it comes; returns those that are now due, in order. */
  offer(event) {
    if (event.seq <= this.position) return [];
    this.note(event.seq);
    if (event.seq > this.position + 1) {
      if (this.#hold.size < HOLD_LIMIT) this.#hold.set(event.seq, event);
      return [];
    }
    this.position = event.seq;
    return [event, ...this.#drain()];
  }

  /** There are events up to `seq`, wherever they are. */
  note(seq) {
    this.head = Math.max(this.head, seq);
  }

  /** Gives up on everything up to `seq`; returns what is due after it. */
  skipTo(seq) {
    if (seq <= this.position) return [];
    this.note(seq);
    this.position = seq;
    for (const held of this.#hold.keys()) {
      if (held <= seq) this.#hold.delete(held);
    }
    return this.#drain();
  }

  #drain() {
    const due = [];
    for (let event = this.#hold.get(this.position + 1); event; event = this.#hold.get(this.position + 1)) {
      this.#hold.delete(event.seq);
      this.position = event.seq;
      due.push(event);
    }
    return due;
  }
}
