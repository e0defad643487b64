// Generated from clients/js/src by `npm run page` there. Do not edit.

// What comes in of conversations: told apart from repeats, kept in order, handed to the application, acknowledged once
// the application is done with it.
import {} from './clock.js';
import { Cursors } from './cursors.js';
import { ChatError } from './errors.js';
import { Lanes } from './lanes.js';
/** What a queued event costs besides its content, in characters. */
const OVERHEAD = 300;
export class Intake {
    cursors = new Cursors();
    #parts;
    #lanes;
    #userId;
    constructor(parts) {
        this.#parts = parts;
        this.#lanes = new Lanes({
            limits: parts.limits,
            clock: parts.clock,
            random: parts.random,
            handle: (item) => this.#handle(item),
            onHandled: (_, item) => this.#handled(item),
            onFailure: (conversationId, item, thrown, failures) => this.#failed(conversationId, item, thrown, failures),
            onRoom: parts.onWanting,
        });
    }
    connected(userId) {
        this.#userId = userId;
        this.#lanes.caughtUp();
    }
    event(event) {
        const { conversationId } = event;
        if (this.cursors.isRepeat(event))
            return;
        if (!this.#lanes.hasRoom(conversationId)) {
            this.cursors.refuse(conversationId, event.seq);
            return;
        }
        const verdict = this.cursors.offer(event, this.#userId);
        if (verdict.kind === 'hole')
            this.#parts.onWanting();
        if (verdict.kind !== 'due')
            return;
        if (verdict.missed)
            this.#lanes.push(conversationId, { missed: verdict.missed }, OVERHEAD);
        this.#lanes.push(conversationId, { event }, sizeOf(event));
    }
    resync(frame) {
        const { conversationId } = frame;
        if (!this.#lanes.hasRoom(conversationId)) {
            this.cursors.refuse(conversationId, frame.from);
            return;
        }
        const missed = this.cursors.resync(frame);
        if (missed)
            this.#lanes.push(conversationId, { missed }, OVERHEAD);
    }
    position(position) {
        this.cursors.position = position;
        this.#parts.onMoved();
    }
    /** The application has everything up to `seq` from elsewhere. */
    advance(conversationId, seq) {
        this.cursors.advance(conversationId, seq);
        this.#parts.receipts.delivered(conversationId, seq);
        this.#parts.onMoved();
    }
    /** Another user's places are nobody's business. */
    clear() {
        this.cursors.clear();
        this.#lanes.clear();
        this.#parts.receipts.clear();
    }
    /** Resolves when the handlers that run have finished. */
    stop() {
        return this.#lanes.stop();
    }
    /** Handlers that still run do not count any more. */
    abandon() {
        this.#lanes.clear();
    }
    #handle(item) {
        if ('missed' in item)
            return this.#parts.handlers.onMissed(item.missed);
        // `advance` went past it while it waited
        if (item.event.seq <= this.cursors.handled(item.event.conversationId))
            return undefined;
        return this.#parts.handlers.onEvent(item.event);
    }
    #handled(item) {
        const [conversationId, seq] = 'missed' in item ? [item.missed.conversationId, item.missed.to] : [item.event.conversationId, item.event.seq];
        this.cursors.finished(conversationId, seq);
        if (this.cursors.hasLeft(conversationId))
            this.#parts.receipts.forget(conversationId);
        else if (!this.#parts.isVisited(conversationId))
            this.#parts.receipts.delivered(conversationId, seq);
        this.#parts.onMoved();
    }
    #failed(conversationId, item, thrown, failures) {
        const what = 'missed' in item ? `events ${item.missed.from} to ${item.missed.to}` : `event ${item.event.seq}`;
        const reason = thrown instanceof Error ? thrown.message : String(thrown);
        const message = `the handler failed at ${what} of ${conversationId} (${failures} times so far): ${reason}`;
        this.#parts.onTrouble(new ChatError('handler_failed', message, { conversationId, cause: thrown }));
    }
}
function sizeOf(event) {
    return OVERHEAD + ('content' in event && typeof event.content === 'string' ? event.content.length : 0);
}
