// SPDX-License-Identifier: MIT
//
// ioredis with the BufferJSON of Baileys as a peer, the way the Node libraries keep auth
// state; bench/harness/peer.lua tells what is said between the two. Records are JSON text
// in one hash `<session>:auth` or in strings `<session>:<name>`. Methods:
//
//   hget  get            read one by one, from the hash or the strings
//   hmget  mget          read by one command
//   pipeline             read by one HGET each, sent together
//   hget_raw             read one by one the bytes that authstate stores, from its keys
//   load_hgetall         the whole session from the hash
//   load_mget            the whole session from the strings, whose names are known
//   write_one_by_one     one HSET each, each waited for
//   write_pipeline       one HSET each, sent together
//   write_multi          the same as a transaction
//   write_hset           one HSET of all
//   write_raw            one HSET each of bytes that authstate stores, to keys like its
//
// With the option `tasks` as many async functions share the operations of a round, each
// awaiting one after the other; `auto_pipelining=true` is ioredis' enableAutoPipelining.
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
const typedOf = (session, kind) => `authstate:{${session}}:k:${kind}`;
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

const rawReaders = {
  async hget_raw({ kind, ids }) {
    const key = typedOf(peer.source, kind);
    const found = {};
    for (const id of ids) {
      const bytes = await peer.redis.hgetBuffer(key, id);
      if (bytes !== null) found[id] = bytes;
    }
    return found;
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

const rawWriters = {
  async write_raw({ kind, ids, values }) {
    const key = typedOf(peer.target, kind);
    for (let i = 0; i < ids.length; i += 1) {
      await peer.redis.hset(key, ids[i], values[i]);
    }
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

// What writers write, by name, as the values they have before the clock starts.
async function readValues(lines) {
  if (writers[peer.method]) {
    const values = await peer.redis.hgetall(hashOf(peer.source));
    for (const name in values) values[name] = revive(values[name]);
    return values;
  }
  const values = {};
  for (const kind of new Set(lines.map((line) => line.split('\t')[1]))) {
    const stored = await peer.redis.hgetallBuffer(typedOf(peer.source, kind));
    for (const id in stored) values[nameOf(kind, id)] = stored[id];
  }
  return values;
}

async function prepare({
  method, socket, source, target, work, results, tasks, auto_pipelining: isPipelined,
}) {
  Object.assign(peer, { method, source, target, results, tasks: Number(tasks ?? 1) });
  const isWriter = writers[method] ?? rawWriters[method];
  peer.run = readers[method] ?? rawReaders[method] ?? loaders[method] ?? isWriter;
  if (!peer.run) throw new Error(`no method ${method}`);
  peer.count = isWriter ? (count) => count : countValues;
  peer.toBytes = rawReaders[method] ? (bytes) => bytes
    : (value) => Buffer.from(stringify(value));
  peer.redis = new Redis({ path: socket, enableAutoPipelining: isPipelined === 'true' });
  const lines = readFileSync(work, 'utf8').trimEnd().split('\n');
  if (isWriter) peer.values = await readValues(lines);
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
      const bytes = peer.toBytes(value);
      parts.push(`record\t${kind}\t${id}\t${bytes.length}\n`, bytes, '\n');
    }
  }
  writeFileSync(peer.results, Buffer.concat(parts.map((part) => Buffer.from(part))));
}

async function run(fields) {
  const [first, count] = [Number(fields.first), Number(fields.count)];
  const kept = [];
  let records = 0;
  // Every `peer.tasks`-th operation from number `start` on.
  async function carryOut(start) {
    for (let number = start; number < count; number += peer.tasks) {
      const operation = peer.operations[first + number];
      const found = await peer.run(operation);
      records += peer.count(found);
      if (isKept(fields.keep, number)) kept.push({ number, operation, found });
    }
  }
  global.gc();
  const startedCpu = process.cpuUsage();
  const started = process.hrtime.bigint();
  const tasks = [];
  for (let start = 0; start < peer.tasks; start += 1) tasks.push(carryOut(start));
  await Promise.all(tasks);
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
