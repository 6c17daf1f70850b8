// SPDX-License-Identifier: MIT
// What a Node program does with the hash of hbinduni: BufferJSON of Baileys, HSET and HGET
// of ioredis, its names of key and fields.
//
//   node hbinduni_hash.mjs write SOCKET SESSION FILE.json   writes the session of the file
//   node hbinduni_hash.mjs read SOCKET SESSION TYPE ID...   prints {id: value} as JSON
//   node hbinduni_hash.mjs fields SOCKET SESSION            prints {field: text} as JSON
//
// A value is printed with Buffers as {"bytes": "<hex>"}.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(`${process.env.NODE_MODULES_OF}/package.json`)
const Redis = require('ioredis')
const { BufferJSON } = await import(pathToFileURL(require.resolve('baileys')).href)

const fix = (id) => id.replace(/\//g, '__').replace(/:/g, '-')
const stringify = (value) => JSON.stringify(value, BufferJSON.replacer)
const revive = (text) => JSON.parse(text, BufferJSON.reviver)

const [command, socket, session, ...rest] = process.argv.slice(2)
const redis = new Redis({ path: socket })
const key = `${session}:auth`

const COMMANDS = {
  async write(file) {
    const { creds, keys } = revive(readFileSync(file, 'utf8'))
    await redis.hset(key, 'creds', stringify(creds))
    for (const [type, records] of Object.entries(keys))
      for (const [id, value] of Object.entries(records))
        await redis.hset(key, `${type}-${fix(id)}`, stringify(value))
  },
  async read(type, ...ids) {
    const found = {}
    for (const id of ids) {
      const field = type === 'creds' ? 'creds' : `${type}-${fix(id)}`
      const text = await redis.hget(key, field)
      if (text !== null) found[id] = revive(text)
    }
    return found
  },
  async fields() {
    return redis.hgetall(key)
  },
}

const shown = (_, value) =>
  value?.type === 'Buffer' ? { bytes: Buffer.from(value.data).toString('hex') } : value

const result = await COMMANDS[command](...rest)
if (result) console.log(JSON.stringify(result, shown))
redis.disconnect()
