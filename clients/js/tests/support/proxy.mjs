// A TCP proxy that a test cuts: one connection or all, at once, or after so many more bytes in either direction.

import { connect, createServer } from 'node:net';

export class Proxy {
  #server;
  #pairs = new Set();
  /** Where new connections go: a port, or what picks one. */
  port;
  connections = 0;
  /** Bytes after which the next connections are cut, or undefined. */
  fuse;

  static async start(t, port) {
    const proxy = new Proxy();
    proxy.port = port;
    proxy.#server = createServer((socket) => proxy.#accept(socket));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    t.after(async () => {
      proxy.cutAll();
      await new Promise((resolve) => proxy.#server.close(resolve));
    });
    return proxy;
  }

  get url() {
    return `ws://127.0.0.1:${this.#server.address().port}/ws`;
  }

  /** Cuts what is connected; what was on its way is lost. */
  cutAll() {
    for (const cut of this.#pairs) cut();
  }

  #accept(client) {
    this.connections += 1;
    const server = connect(typeof this.port === 'function' ? this.port() : this.port, '127.0.0.1');
    let fuse = this.fuse?.();
    const cut = () => {
      this.#pairs.delete(cut);
      client.destroy();
      server.destroy();
    };
    this.#pairs.add(cut);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      from.on('data', (bytes) => {
        if (fuse !== undefined && bytes.length >= fuse) {
          to.write(bytes.subarray(0, fuse), cut);
          fuse = undefined;
          return;
        }
        if (fuse !== undefined) fuse -= bytes.length;
        to.write(bytes);
      });
      from.on('error', cut);
      from.on('close', cut);
    }
  }
}
