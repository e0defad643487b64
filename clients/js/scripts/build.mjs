// src -> dist: the modules and their types.

import { rmSync } from 'node:fs';

import { compile } from './compile.mjs';

const dist = new URL('../dist/', import.meta.url);
rmSync(dist, { recursive: true, force: true });
compile(dist);
