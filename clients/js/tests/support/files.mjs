// A storage in a folder, a file a name: a crash in the middle of a write leaves the old text.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function fileStorage(folder) {
  return {
    getItem(key) {
      try {
        return readFileSync(join(folder, key), 'utf8');
      } catch (error) {
        if (error.code === 'ENOENT') return null;
        throw error;
      }
    },
    setItem(key, value) {
      writeFileSync(join(folder, `${key}.new`), value);
      renameSync(join(folder, `${key}.new`), join(folder, key));
    },
  };
}
