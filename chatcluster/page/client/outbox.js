// Generated from clients/js/src by `npm run page` there. Do not edit.

// Messages that are not known to be stored. Each keeps its clientMsgId over every attempt, reconnect and restart, so the
// server stores it once however often it is sent. One of a conversation is on its way at a time: nothing that is refused
// for now can be overtaken by what was written after it. Pure.
/** Conversations with a message on its way at a time: a long queue must not look like a flood. */
const MAX_ON_THEIR_WAY = 16;
export class Outbox {
    #items = new Map();
    /** By conversation, in the order they were written. */
    #queues = new Map();
    #limits;
    #characters = 0;
    #onTheirWay = 0;
    constructor(limits) {
        this.#limits = limits;
    }
    get(clientMsgId) {
        return this.#items.get(clientMsgId)?.draft;
    }
    get size() {
        return this.#items.size;
    }
    get onTheirWay() {
        return this.#onTheirWay;
    }
    /** In the order they were written. */
    drafts() {
        return [...this.#items.values()].map(({ draft }) => draft);
    }
    /** False: it is full. */
    add(draft) {
        if (this.#items.size >= this.#limits.messages)
            return false;
        if (this.#characters + draft.content.length > this.#limits.characters)
            return false;
        this.#insert(draft);
        return true;
    }
    /** What an earlier start left over goes before what was written since. Messages that do not fit are left out. */
    restore(drafts) {
        const newer = [...this.#items.values()];
        this.#items.clear();
        this.#queues.clear();
        this.#characters = 0;
        for (const draft of drafts)
            if (!this.#items.has(draft.clientMsgId))
                this.add(draft);
        for (const { draft } of newer)
            if (!this.#items.has(draft.clientMsgId))
                this.#insert(draft);
    }
    /** What may be sent now. Each counts as on its way from here on. */
    take() {
        const taken = [];
        for (const [first] of this.#queues.values()) {
            if (this.#onTheirWay >= MAX_ON_THEIR_WAY)
                break;
            if (!first || first.isOnItsWay)
                continue;
            first.isOnItsWay = true;
            this.#onTheirWay += 1;
            taken.push(first.draft);
        }
        return taken;
    }
    /** It was not stored this time and is to be sent again. With `strike`, returns how many there are against it. */
    putBack(clientMsgId, { strike }) {
        const item = this.#items.get(clientMsgId);
        if (!item)
            return 0;
        if (item.isOnItsWay)
            this.#onTheirWay -= 1;
        item.isOnItsWay = false;
        if (strike)
            item.strikes += 1;
        return item.strikes;
    }
    /** The connection is gone: whatever was on its way is to be sent again. Returns what that was. */
    putAllBack() {
        const back = [...this.#items.values()].filter(({ isOnItsWay }) => isOnItsWay);
        for (const item of back)
            item.isOnItsWay = false;
        this.#onTheirWay = 0;
        return back.map(({ draft }) => draft);
    }
    /** It is stored, refused for good, or given up. */
    remove(clientMsgId) {
        const item = this.#items.get(clientMsgId);
        if (!item)
            return undefined;
        this.#items.delete(clientMsgId);
        this.#characters -= item.draft.content.length;
        if (item.isOnItsWay)
            this.#onTheirWay -= 1;
        const { conversationId } = item.draft;
        const rest = (this.#queues.get(conversationId) ?? []).filter((other) => other !== item);
        if (rest.length > 0)
            this.#queues.set(conversationId, rest);
        else
            this.#queues.delete(conversationId);
        return item.draft;
    }
    #insert(draft) {
        const item = { draft, isOnItsWay: false, strikes: 0 };
        this.#items.set(draft.clientMsgId, item);
        this.#characters += draft.content.length;
        const queue = this.#queues.get(draft.conversationId);
        if (queue)
            queue.push(item);
        else
            this.#queues.set(draft.conversationId, [item]);
    }
}
