// SPDX-License-Identifier: MIT
//
// ioredis with the BufferJSON of Baileys as a peer, the way the Node libraries keep auth
// state; bench/harness/peer.lua tells what is said between the two. Records are JSON text
// in one hash `<session>:auth` or in strings `<session>:<name>`. Methods:
//
//   hget  get            read one by one, from the hash or the strings
//   hmget  mget          read by one command
//   pipeline             read by one HGET each, sent together
//   load_hgetall         the whole session from the hash
//   load_mget            the whole session from the strings, whose names are known
//   write_one_by_one     one HSET each, each waited for
//   write_pipeline       one HSET each, sent together
//   write_multi          the same as a transaction
//   write_hset           one HSET of all
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(resolve('build/node/package.json'));
const { Redis } = require('ioredis');
const baileys = require.resolve('baileys/lib/Utils/generics.js');
const { BufferJSON } = await import(pathToFileURL(baileys));

const revive = (text) => JSON.parse(text, BufferJSON.reviver);
const stringify = (value) => JSON.stringify(value, BufferJSON.replacer);

// As Baileys makes file names of ids.
function nameOf(kind, id) {
  if (kind === 'creds') return 'creds';
  return `${kind}-${id.replace(/\//g, '__').replace(/:/g, '-')}`;
}

const hashOf = (session) => `${session}:auth`;
const stringOf = (session, kind, id) => `${session}:${nameOf(kind, id)}`;

// A read gives { id: value } of what was there, as the key stores of Baileys do.
function assemble(ids, texts) {
  const found = {};
  ids.forEach((id, i) => {
    if (texts[i] !== null) found[id] = revive(texts[i]);
  });
  return found;
}

// The replies of a pipeline or transaction, each an error or a value.
function valuesOf(replies) {
  return replies.map(([error, value]) => {
    if (error) throw error;
    return value;
  });
}

async function readOneByOne(ids, ask) {
  const found = {};
  for (const id of ids) {
    const text = await ask(id);
    if (text !== null) found[id] = revive(text);
  }
  return found;
}

const readers = {
  hget({ kind, ids }) {
    const key = hashOf(peer.source);
    return readOneByOne(ids, (id) => peer.redis.hget(key, nameOf(kind, id)));
  },
  get({ kind, ids }) {
    return readOneByOne(ids, (id) => peer.redis.get(stringOf(peer.source, kind, id)));
  },
  async hmget({ kind, ids }) {
    const names = ids.map((id) => nameOf(kind, id));
    return assemble(ids, await peer.redis.hmget(hashOf(peer.source), names));
  },
  async mget({ kind, ids }) {
    const names = ids.map((id) => stringOf(peer.source, kind, id));
    return assemble(ids, await peer.redis.mget(names));
  },
  async pipeline({ kind, ids }) {
    const key = hashOf(peer.source);
    const pipeline = peer.redis.pipeline();
    for (const id of ids) pipeline.hget(key, nameOf(kind, id));
    return assemble(ids, valuesOf(await pipeline.exec()));
  },
};

const loaders = {
  async load_hgetall() {
    const texts = await peer.redis.hgetall(hashOf(peer.source));
    for (const name in texts) texts[name] = revive(texts[name]);
    return texts;
  },
  async load_mget({ names, keys }) {
    return assemble(names, await peer.redis.mget(keys));
  },
};

// Queues one HSET for each record.
function queueWrites(queue, { kind, ids, values }) {
  const key = hashOf(peer.target);
  ids.forEach((id, i) => queue.hset(key, nameOf(kind, id), stringify(values[i])));
  return queue;
}

const writers = {
  async write_one_by_one({ kind, ids, values }) {
    const key = hashOf(peer.target);
    for (let i = 0; i < ids.length; i += 1) {
      await peer.redis.hset(key, nameOf(kind, ids[i]), stringify(values[i]));
    }
    return ids.length;
  },
  async write_pipeline(operation) {
    return valuesOf(await queueWrites(peer.redis.pipeline(), operation).exec()).length;
  },
  async write_multi(operation) {
    return valuesOf(await queueWrites(peer.redis.multi(), operation).exec()).length;
  },
  async write_hset({ kind, ids, values }) {
    const words = [];
    ids.forEach((id, i) => words.push(nameOf(kind, id), stringify(values[i])));
    await peer.redis.hset(hashOf(peer.target), words);
    return ids.length;
  },
};

function countValues(found) {
  let count = 0;
  for (const id in found) if (found[id] !== undefined) count += 1;
  return count;
}

// One operation of the work file.
const parsers = {
  get: ([, kind, ...ids]) => ({ kind, ids }),
  set([, kind, ...words]) {
    const ids = words.filter((_, i) => i % 2 === 0);
    const sources = words.filter((_, i) => i % 2 === 1);
    return { kind, ids, values: sources.map((id) => peer.values[nameOf(kind, id)]) };
  },
  load([, ...words]) {
    const records = [];
    for (let i = 0; i < words.length; i += 2) records.push([words[i], words[i + 1]]);
    const names = records.map(([kind, id]) => nameOf(kind, id));
    return { records, names, keys: names.map((name) => `${peer.source}:${name}`) };
  },
};

const peer = {};

async function prepare({ method, socket, source, target, work, results }) {
  Object.assign(peer, { source, target, results });
  peer.run = readers[method] ?? loaders[method] ?? writers[method];
  if (!peer.run) throw new Error(`no method ${method}`);
  peer.count = writers[method] ? (count) => count : countValues;
  peer.redis = new Redis({ path: socket });
  if (writers[method]) {
    peer.values = await peer.redis.hgetall(hashOf(source));
    for (const name in peer.values) peer.values[name] = revive(peer.values[name]);
  }
  const lines = readFileSync(work, 'utf8').trimEnd().split('\n');
  peer.operations = lines.map((line) => {
    const words = line.split('\t');
    return parsers[words[0]](words);
  });
  const versions = ['ioredis', 'baileys'].map((name) => {
    const path = resolve('build/node/node_modules', name, 'package.json');
    return `${name}=${JSON.parse(readFileSync(path)).version}`;
  });
  return ['ready', `node=${process.versions.node}`, ...versions];
}

function isKept(keep, number) {
  return keep === 'all' || keep === String(number);
}

// Type, id and value of what an operation gave.
function recordsOf({ kind, ids, records }, found) {
  if (!records) return ids.filter((id) => id in found).map((id) => [kind, id, found[id]]);
  return records.filter(([type, id]) => nameOf(type, id) in found)
    .map(([type, id]) => [type, id, found[nameOf(type, id)]]);
}

function writeKept(kept) {
  const parts = [];
  for (const { number, operation, found } of kept) {
    parts.push(`operation\t${number}\n`);
    for (const [kind, id, value] of recordsOf(operation, found)) {
      const text = stringify(value);
      parts.push(`record\t${kind}\t${id}\t${Buffer.byteLength(text)}\n`, text, '\n');
    }
  }
  writeFileSync(peer.results, parts.join(''));
}

async function run(fields) {
  const [first, count] = [Number(fields.first), Number(fields.count)];
  const kept = [];
  let records = 0;
  global.gc();
  const startedCpu = process.cpuUsage();
  const started = process.hrtime.bigint();
  for (let number = 0; number < count; number += 1) {
    const operation = peer.operations[first + number];
    const found = await peer.run(operation);
    records += peer.count(found);
    if (isKept(fields.keep, number)) kept.push({ number, operation, found });
  }
  const wallSeconds = Number(process.hrtime.bigint() - started) / 1e9;
  const { user, system } = process.cpuUsage(startedCpu);
  writeKept(kept);
  return ['done', `wall_s=${wallSeconds.toFixed(9)}`, `cpu_s=${(user + system) / 1e6}`,
    `operations=${count}`, `records=${records}`];
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
    answer = await verbs[verb](fields);
  } catch (error) {
    answer = ['failed', String(error.stack).replace(/[\t\n]/g, ' ')];
  }
  process.stdout.write(`${answer.join('\t')}\n`);
}
process.exit(0);
