// Generated from clients/js/src by `npm run page` there. Do not edit.

// One socket, from opening to its one end: CONNECT, frames, heartbeat. It does not come back; who keeps it alive does.
import { Timers } from './clock.js';
import { parseFrame } from './frames.js';
/** From the start to CONNECTED; the gateway itself gives up after 10 s. */
const HANDSHAKE_MS = 15_000;
/** For an answer to PING. */
const PONG_MS = 10_000;
/** The same when somebody asks whether the connection is still there. */
const PROBE_MS = 4_000;
/**
 * Silence of the server, in heartbeats, before it is asked: its own pings come first, which browsers and libraries
 * answer by themselves, and with them its POSITION.
 */
const QUIET_HEARTBEATS = 1.2;
const DEFAULT_HEARTBEAT_MS = 25_000;
export class Connection {
    #parts;
    #timers;
    #socket;
    #connectedAt;
    #refusal;
    #isOver = false;
    #heardAt = 0;
    constructor(parts) {
        this.#parts = parts;
        this.#timers = new Timers(parts.clock);
        const socket = new parts.WebSocket(parts.url);
        this.#socket = socket;
        this.#timers.set('handshake', HANDSHAKE_MS, () => this.#end(0, 'no CONNECTED in time'));
        const { seqs, position } = parts.resume;
        const connect = { type: 'CONNECT', token: parts.token, resume: seqs, ...(position !== undefined && { position }) };
        socket.onopen = () => this.#write(connect);
        socket.onmessage = ({ data }) => this.#receive(data);
        socket.onclose = ({ code, reason }) => 
        // 1005 and 1006 are the browser's words for "no code"
        this.#end(code === undefined || code === 1005 || code === 1006 ? 0 : code, String(reason ?? ''));
        socket.onerror = ignore;
    }
    /** Writes a frame; false where there is no session to write it to. */
    send(frame) {
        if (this.#isOver || this.#connectedAt === undefined)
            return false;
        return this.#write(frame);
    }
    /** Finds out soon whether anybody is there. */
    probe() {
        if (this.send({ type: 'PING' }))
            this.#await(PROBE_MS);
    }
    /** Ends it without a word to `onEnd`. */
    drop() {
        if (this.#isOver)
            return;
        this.#isOver = true;
        this.#timers.clearAll();
        const socket = this.#socket;
        socket.onopen = null;
        socket.onmessage = null;
        socket.onclose = null;
        // `ws` throws what nobody listens for
        socket.onerror = ignore;
        try {
            socket.close(1000);
        }
        catch {
            // it is not open, which is what was wanted
        }
    }
    #write(frame) {
        try {
            this.#socket.send(JSON.stringify(frame));
            return true;
        }
        catch {
            // closing already: `onclose` is on its way
            return false;
        }
    }
    #receive(data) {
        if (this.#isOver)
            return;
        this.#heardAt = this.#parts.clock.now();
        this.#timers.clear('pong');
        const frame = parseFrame(data);
        if (frame === undefined || frame.type === 'PONG')
            return;
        if (frame.type === 'CONNECTED') {
            this.#timers.clear('handshake');
            this.#connectedAt = this.#parts.clock.now();
            const heartbeat = frame.heartbeatMs > 0 ? Math.min(frame.heartbeatMs, DEFAULT_HEARTBEAT_MS) : DEFAULT_HEARTBEAT_MS;
            this.#beat(heartbeat * QUIET_HEARTBEATS);
            this.#parts.onConnected(frame);
            return;
        }
        if (frame.type === 'ERROR' && frame.clientMsgId === undefined && frame.roomId === undefined)
            this.#refusal = frame;
        this.#parts.onFrame(frame);
    }
    #beat(quietMs) {
        const since = this.#parts.clock.now() - this.#heardAt;
        if (since >= quietMs && this.send({ type: 'PING' }))
            this.#await(PONG_MS);
        this.#timers.set('beat', since < quietMs ? quietMs - since : quietMs, () => this.#beat(quietMs));
    }
    /** Something has to be heard within this time; whatever comes will do. */
    #await(withinMs) {
        if (this.#timers.has('pong') && withinMs >= PONG_MS)
            return;
        this.#timers.set('pong', withinMs, () => this.#end(0, 'the server is silent'));
    }
    #end(code, reason) {
        if (this.#isOver)
            return;
        const connectedMs = this.#connectedAt === undefined ? 0 : this.#parts.clock.now() - this.#connectedAt;
        this.drop();
        const refusal = this.#refusal;
        this.#parts.onEnd({ code, reason, connectedMs, ...(refusal && { refusal }) });
    }
}
function ignore() { }
