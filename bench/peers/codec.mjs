// SPDX-License-Identifier: MIT
//
// JSON and the BufferJSON of Baileys as a peer that needs no server, between JSON text and
// values with Buffers; bench/harness/peer.lua tells what is said between the two. Methods:
//
//   decode   JSON.parse with its reviver
//   encode   JSON.stringify with its replacer
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(resolve('build/node/package.json'));
const baileys = require.resolve('baileys/lib/Utils/generics.js');
const { BufferJSON } = await import(pathToFileURL(baileys));

const decode = (text) => JSON.parse(text, BufferJSON.reviver);
const encode = (value) => JSON.stringify(value, BufferJSON.replacer);

const LINE_FEED = 10;
const peer = {};

// The records of a file by type, in its order; see bench/harness/record_file.lua.
function readTypes(path, toInput) {
  const bytes = readFileSync(path);
  const types = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(LINE_FEED, at);
    const [, kind, id, length] = bytes.toString('utf8', at, end).split('\t');
    const stop = end + 1 + Number(length);
    if (types.at(-1)?.kind !== kind) types.push({ kind, ids: [], inputs: [] });
    types.at(-1).ids.push(id);
    types.at(-1).inputs.push(toInput(bytes.toString('utf8', end + 1, stop)));
    at = stop + 1;
  }
  return types;
}

function prepare({ method, texts, results }) {
  const isEncode = method === 'encode';
  peer.results = results;
  peer.run = isEncode ? encode : decode;
  peer.toText = isEncode ? (text) => text : encode;
  peer.types = readTypes(texts, isEncode ? decode : (text) => text);
  const path = resolve('build/node/node_modules/baileys/package.json');
  const { version } = JSON.parse(readFileSync(path));
  return ['ready', `node=${process.versions.node}`, `baileys=${version}`];
}

// Outside the measured time: what comes of records.
function writeKept({ kind, ids, inputs }, keep) {
  const parts = [Buffer.from('operation\t0\n')];
  ids.forEach((id, i) => {
    if (keep !== 'all' && keep !== String(i)) return;
    const bytes = Buffer.from(peer.toText(peer.run(inputs[i])));
    parts.push(Buffer.from(`record\t${kind}\t${id}\t${bytes.length}\n`), bytes,
      Buffer.from('\n'));
  });
  writeFileSync(peer.results, Buffer.concat(parts));
}

function run({ first, count, keep }) {
  const part = peer.types[Number(first)];
  const { inputs } = part;
  const passes = Number(count);
  let records = 0;
  writeKept(part, keep);
  global.gc();
  const startedCpu = process.cpuUsage();
  const started = process.hrtime.bigint();
  for (let pass = 0; pass < passes; pass += 1) {
    for (let i = 0; i < inputs.length; i += 1) {
      if (peer.run(inputs[i]) !== undefined) records += 1;
    }
  }
  const wallSeconds = Number(process.hrtime.bigint() - started) / 1e9;
  const { user, system } = process.cpuUsage(startedCpu);
  return ['done', `wall_s=${wallSeconds.toFixed(9)}`, `cpu_s=${(user + system) / 1e6}`,
    `operations=${passes}`, `records=${records}`];
}

const verbs = { prepare, run };

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...words] = line.split('\t');
  const fields = Object.fromEntries(words.map((word) => {
    const at = word.indexOf('=');
    return [word.slice(0, at), word.slice(at + 1)];
  }));
  let answer;
  try {
    answer = verbs[verb](fields);
  } catch (error) {
    answer = ['failed', String(error.stack).replace(/[\t\n]/g, ' ')];
  }
  process.stdout.write(`${answer.join('\t')}\n`);
}
process.exit(0);
