// People who write at an uneven pace.

import { setTimeout as pause } from 'node:timers/promises';

export const between = (least, most) => least + Math.random() * (most - least);

/** Sends `count` messages from each of the clients (by name); resolves with what was sent and where it is stored. */
export async function chatter(clients, id, count) {
  const one = async ([sender, client]) => {
    const sends = [];
    for (let number = 1; number <= count; number += 1) {
      const content = `${sender} ${number}`;
      sends.push(client.send(id, content).then(({ seq }) => ({ sender, content, seq })));
      if (Math.random() < 0.3) await pause(between(0, 30));
    }
    return Promise.all(sends);
  };
  return (await Promise.all(Object.entries(clients).map(one))).flat();
}
