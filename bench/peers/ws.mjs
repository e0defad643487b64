// The loop that people write first with the `ws` package: a set of sockets a room, `send` to each.
// Usage: node ws.mjs PORT FOLDER, where FOLDER/node_modules has `ws`.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [port, folder] = process.argv.slice(2);
const { WebSocketServer } = createRequire(join(folder, 'package.json'))('ws');

const rooms = new Map();
const sockets = new WebSocketServer({ noServer: true });

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const body = Buffer.concat(chunks);
    for (const socket of rooms.get(request.url.slice('/pub/'.length)) ?? []) {
      socket.send(body, { binary: false });
    }
    response.writeHead(202, { 'content-length': 0 }).end();
  });
});

server.on('upgrade', (request, stream, head) => {
  sockets.handleUpgrade(request, stream, head, (socket) => {
    const name = request.url.slice('/sub/'.length);
    if (!rooms.has(name)) rooms.set(name, new Set());
    const room = rooms.get(name).add(socket);
    socket.on('close', () => room.delete(socket));
  });
});

server.keepAliveTimeout = 0;
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 });
