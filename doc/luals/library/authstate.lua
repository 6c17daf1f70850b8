-- SPDX-License-Identifier: MIT
---@meta authstate

-- What `require "authstate"` gives, for editors that run the Lua language server (LuaLS).
-- Add doc/luals/library to `workspace.library`. A spec compares it with the modules and
-- the table of options.

-- ---- errors ---------------------------------------------------------------------------

---@alias authstate.code
---| "timeout" # no reply within the deadline; the outcome is unknown
---| "unavailable" # the server cannot be reached; nothing was sent
---| "overloaded" # the queue is full; nothing was sent
---| "auth" # the server refused the user name or password
---| "denied" # the server's access rules forbid this command or key
---| "readonly" # the server is a read-only replica
---| "oom" # out of memory
---| "loading" # the server is still loading its data
---| "cluster_down" # the cluster does not serve this slot
---| "disk" # the server cannot write to its disk
---| "corrupt" # a stored value cannot be opened
---| "fenced" # another generation or owner holds this session
---| "held" # the session is leased to another owner
---| "lease_lost" # this lease ran out or was taken
---| "conflict" # the stored version is not the expected one
---| "not_durable" # too few replicas confirmed the write
---| "too_large" # a value or commit is larger than the limit
---| "wrong_type" # a key holds another type of Redis value
---| "unsupported" # this server or runtime cannot do that
---| "cancelled" # the caller withdrew the operation
---| "closed" # the store is closed
---| "server" # the server answered with an error

---What does not apply is absent.
---@class authstate.details
---@field sent boolean whether a byte of it went out
---@field applied "no"|"maybe"|"yes" whether it took effect
---@field retry boolean whether the same call may succeed later
---@field node? string the server
---@field elapsed_ms? number
---@field session? string
---@field type? string
---@field id? string
---@field owner? string
---@field epoch? integer

-- ---- values ---------------------------------------------------------------------------

---A byte string, immutable, never equal to a string; `tostring` hides its content.
---@class authstate.bytes: userdata
---@operator len: integer
local bytes = {}

---@return string content
function bytes:raw() end

---@return string
function bytes:hex() end

---@return string
function bytes:base64() end

---The JSON null: the same as `cjson.null` and `ngx.null`.
---@class authstate.null: lightuserdata

---What a record is in Lua: a table, a string, a number, a boolean, bytes or null.
---@alias authstate.value any

---@alias authstate.creds table<string, authstate.value>

---By type and id.
---@alias authstate.records table<string, table<string, authstate.value>>

---By type and id, each a JSON text.
---@alias authstate.texts table<string, table<string, string|authstate.null>>

-- ---- options --------------------------------------------------------------------------

---@alias authstate.log_level "error"|"warn"|"info"|"debug"|"verbose"

---@class authstate.socket
---How long connecting and greeting may take together.
---@field connect_timeout_ms? integer
---Deadline of a call that gives no timeout_ms.
---@field command_timeout_ms? integer
---Whether the system probes an idle TCP connection (SO_KEEPALIVE).
---@field keep_alive? boolean
---Whether small requests leave at once (TCP_NODELAY).
---@field no_delay? boolean
---How long a server that owes replies may send nothing; then the connection is given up
---and another one is made.
---@field health_timeout_ms? integer
---How long a session refuses writes, when a connection broke amid writes of it and the
---server does not let us end it (CLIENT KILL): the longest that sent bytes may take.
---@field quarantine_ms? integer
---Age at which a connection is replaced, once all it was sent is answered; 0: never.
---@field max_age_ms? integer

---@class authstate.tls
---PEM file of the authorities to trust, instead of those of the system.
---@field ca? string
---PEM file of the certificate to show, with those above it; for a server that wants one.
---@field cert? string
---PEM file of the private key of `cert`, without a passphrase.
---@field key? string
---Name to ask for (SNI) and to find in the server's certificate; by default the host. An
---address is looked for among those of the certificate.
---@field server_name? string
---Whether any certificate will do: anybody in between can read and change everything. For
---trials.
---@field insecure? boolean

---@class authstate.encryption
---`{ [id] = key }`: a key is 32 bytes (`authstate.bytes`), 64 hexadecimal digits, base64,
---or `{ file = path }`; an id is a number from 0 to 255.
---@field keys? table<integer, authstate.bytes|string|{ file: string }>
---Id of the key that encrypts; all others only read what they wrote.
---@field primary? integer
---Whether a value that is not encrypted is refused as `corrupt`, rather than read.
---@field required? boolean

---@class authstate.redis
---`redis://[[user]:password@]host[:port][/db]`, the same with `rediss://` for TLS, or
---`unix:///path[?db=0]`; the other fields go before what it says.
---@field url? string
---Path of a unix socket; at most 107 bytes.
---@field path? string
---Name or address; 127.0.0.1 without url and path.
---@field host? string
---Port; 6379 without url and path.
---@field port? integer
---User of the server's ACL; with a password only.
---@field username? string
---Password; it is never shown in messages.
---@field password? string
---Number of the database; 0 when nothing says another one.
---@field database? integer
---Options of the connection, see below.
---@field socket? authstate.socket
---TLS, with the options below; `{}` is what `rediss://` says.
---@field tls? authstate.tls

---@class authstate.options
---Where Redis is: a URL, or a table, see below. Without it, a private server is started.
---@field redis? string|authstate.redis
---Directory of the private server; by default `authstate` under `$XDG_STATE_HOME` or
---`~/.local/state`.
---@field data_dir? string
---When the private server forces its log to disk: `always` before it answers, `everysec`
---once a second (a crash of the machine may lose two seconds).
---@field append_fsync? "everysec"|"always"
---How long `open` waits for the private server: it loads its whole log first.
---@field open_timeout_ms? integer
---First part of every key; at most 128 bytes, no braces.
---@field prefix? string
---How a session maps to keys: a layout's name or its script's path.
---@field layout? string
---A set of options below those given here: a profile's name or its script's path.
---@field profile? string
---Bound of one stored value.
---@field max_value_bytes? integer
---Bound of all values of one write.
---@field max_commit_bytes? integer
---Operations that may wait; beyond, `overloaded` at once.
---@field queue_max_operations? integer
---Request bytes that may wait; beyond, `overloaded` at once.
---@field queue_max_bytes? integer
---How long a deleted session is remembered as deleted.
---@field tombstone_ttl_ms? integer
---`log(level, message, fields)` is called for what a person should know.
---@field log? fun(level: authstate.log_level, message: string, fields: table)
---The least important level that is logged.
---@field log_level? authstate.log_level
---How a value becomes bytes: `cbor`, `json`, or the name or path of a script.
---@field serializer? string
---How values are compressed, where that saves enough; a number is a level of gzip.
---Whatever it is, all values are read.
---@field compression? false|"lz4"|"zstd"|"gzip"|integer
---Smaller values are not compressed: a number for all, or `{ [type] = number }`, where
---`creds` is a type. A type that is not named has 96, or 4096 when it is `session` or
---`sender-key` in CBOR: little but random bytes.
---@field compression_threshold_bytes? integer|table<string, integer>
---A value is stored compressed when that makes it smaller by as much.
---@field compression_min_gain_bytes? integer
---The same as a share of the value; both must hold.
---@field compression_min_gain_percent? integer
---Whether operations of several tasks leave together, reads of one hash as one command;
---without it each leaves at once.
---@field enable_batching? boolean
---How many operations leave together at most.
---@field batch_size? integer
---How long an operation waits for others at most; it leaves as soon as no task can go on.
---@field batch_window_ms? integer
---Connections to one server; a session stays on one.
---@field pool_size? integer
---Whether records that were read are kept in this process, and the server asked to tell
---when others change them; with `writes = "plain"` only when it is said. See `cache.md`.
---@field enable_cache? boolean
---How long a kept record is served, from when it was read: the bound when the network
---hides what changes. A number for all, or `{ [type] = number }`; a type that is not
---named has no bound but the server's word.
---@field cache_ttl_ms? integer|table<string, integer>
---Bound of all kept records, their tables included, for all stores of the process that
---ask for the same; by default 1/32 of the machine's memory, from 16 to 256 MiB, which
---the workers of nginx share out.
---@field cache_max_bytes? integer
---Which kept record goes first when there is no room: the name or path of a script, see
---`policies.md`.
---@field policy? string
---What else is read in the same round trip: `signal`, `learned`, or the path of a script;
---by default nothing.
---@field preload? string
---How many records a preload rule may add to one read.
---@field preload_limit? integer
---Whether kept records are stored packed only; `false` also keeps decoded tables, for
---readers that say `shared = true`.
---@field memory_efficient? boolean
---Whether the server checks who writes, by one script for each write; `plain` is quicker,
---for a sole writer, and may write twice what a lost connection has made unsure.
---@field writes? "checked"|"plain"
---Encrypts stored values, with the options below; see `security.md`.
---@field encryption? authstate.encryption
---Whether every call is logged, at the level `debug`, whatever `log_level` says; without
---`log`, to standard error.
---@field debug? boolean
---A call that takes longer is logged as a warning; see `metrics.md`.
---@field slow_ms? integer
---Whether calls, failures and times are counted for `store:stats()`.
---@field enable_metrics? boolean
---`on_operation(operation)` is called after each call, and told what it did; see
---`metrics.md`.
---@field on_operation? fun(operation: authstate.operation)

---@class authstate.call_options
---@field timeout_ms? number instead of redis.socket.command_timeout_ms
---@field cache? boolean false: reads from Redis, whatever the near cache has
---@field consistent? boolean true: the same, all in one step
---@field shared? boolean true: the caller does not change what it gets

---@class authstate.write_options: authstate.call_options
---@field expect? integer the write is a `conflict` when another version is stored

---@class authstate.page_options: authstate.call_options
---@field after? string `next` of the page before
---@field limit? integer how many ids, 1000 by default

-- ---- the module -----------------------------------------------------------------------

---@class authstate
---@field _VERSION string
---@field null authstate.null
---@field array_mt table the metatable of arrays
local authstate = {}

---Opens a store. With `redis` this does no I/O; without, it starts the private server of
---`data_dir` or joins the one that runs there.
---@param options? authstate.options
---@return authstate.store? store
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function authstate.open(options) end

---Makes a table an array.
---@generic T: table
---@param t T with the keys 1 to n; n may be 0
---@return T t itself
function authstate.array(t) end

---@param content string
---@return authstate.bytes
function authstate.bytes(content) end

---@param text string RFC 4648, standard alphabet, padded
---@return authstate.bytes
function authstate.from_base64(text) end

---@param text string two digits for each byte
---@return authstate.bytes
function authstate.from_hex(text) end

---@param value any
---@return boolean
function authstate.is_bytes(value) end

---The JSON text of a value, as JSON.stringify writes it.
---@param value authstate.value
---@param form? "base64"|"array"|"object" of bytes; "base64" by default
---@return string? text
---@return string? message
---@return authstate.code? code
function authstate.to_json(value, form) end

---The value of a JSON text; every form of Buffer becomes bytes.
---@param text string
---@return authstate.value? value `null` for the text `null`, nil when it is no JSON
---@return string? message
function authstate.from_json(text) end

-- ---- store ----------------------------------------------------------------------------

---The sessions of one Redis.
---Runs a function as a task, and returns when it and all that it has spawned have ended.
---@param fn function
---@param ... any its arguments
---@return any ... the results of fn
function authstate.run(fn, ...) end

---Starts a task beside the one that runs; it begins when that one waits.
---@param fn function
---@param ... any its arguments
---@return authstate.task
function authstate.spawn(fn, ...) end

---Waits; in a task the others go on meanwhile.
---@param ms number from 0 on
---@return true? ok
---@return string? message
---@return "cancelled"? code
---@return authstate.details? details
function authstate.sleep(ms) end

---@class authstate.task
local task = {}

---Waits until the task has ended.
---@param timeout_ms? number how long at most
---@return boolean? ok whether its function returned; nil with a message and "timeout" or
---"cancelled"
---@return any ... what its function returned, or its error
function task:wait(timeout_ms) end

---Cancels the task: the call that it waits in answers `cancelled`, later ones raise.
function task:cancel() end

---@class authstate.batch_stats
---@field count integer
---@field mean number operations in one
---@field flushed { size: integer, age: integer, idle: integer }

---@class authstate.operation_stats
---@field count integer
---@field errors integer
---@field p50_ms number
---@field p99_ms number

---@class authstate.cache_stats
---@field entries integer
---@field bytes integer
---@field capacity_bytes integer
---@field hits integer
---@field misses integer
---@field hit_ratio number
---@field evictions integer
---@field refused integer
---@field invalidations integer
---@field flushes table<string, integer> by why
---@field types table<string, { hits: integer, misses: integer, bytes: integer }>
---@field preload { useful: integer, wasted: integer }

---@class authstate.stats
---@field uptime_ms number
---@field memory_bytes integer of the core and the cache
---@field operations table<string, authstate.operation_stats> by name
---@field errors table<authstate.code, integer>
---@field batch authstate.batch_stats
---@field pool { size: integer, busy: integer, wait_p99_ms: number, reconnects: integer }
---@field cache authstate.cache_stats
---@field codec { bytes_in: integer, bytes_stored: integer, ratio: number }
---@field wire { bytes_out: integer, bytes_in: integer }
---@field leases { held: integer, lost: integer, fenced: integer }
---@field queued { operations: integer, bytes: integer }

---What a call did, for `on_operation`.
---@class authstate.operation
---@field name string of the call, the same for its JSON form
---@field session? string
---@field type? string
---@field count integer records
---@field bytes integer as they are stored
---@field queue_ms number until its requests were sent
---@field wire_ms number from then until the answers
---@field decode_ms number
---@field cache? "hit"|"miss"
---@field code? authstate.code why it failed
---@field node string

---@class authstate.profile_change
---@field applied string[] options that have changed
---@field reopen string[] options that change when the store is opened again

---@class authstate.store
local store = {}

---The same as `authstate.run`.
---@param fn function
---@param ... any its arguments
---@return any ... the results of fn
function store:run(fn, ...) end

---A descriptor that becomes readable when `step` has something to do.
---@return integer? fd
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function store:fd() end

---When `step` must be called at the latest.
---@return number ms from now on, 0: at once; math.huge when only the descriptor matters
function store:deadline_ms() end

---One turn of the loop of all stores, without waiting.
---@return true
function store:step() end

---What the store has done so far.
---@return authstate.stats? stats
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function store:stats() end

---Another profile for a store that works; what `open` was given stays above it.
---@param name string of the profile, or the path of its script
---@return authstate.profile_change? change
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function store:use_profile(name) end

---Writes from now on which records are read and written, for `authstate replay`.
---@param path string|false of a file; false ends it
---@return true? ok
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function store:record_trace(path) end

---Asks the server now.
---@param options? authstate.call_options
---@return true? ok
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function store:ping(options) end

---A handle on a session. No I/O.
---@param id string 1 to 512 bytes, not beginning with "}"
---@return authstate.session
function store:session(id) end

---Lists the sessions, a page at a time, in no particular order.
---@param options? authstate.page_options
---@return string[]? ids
---@return string? next for `after` of the next page, nil at the end; or the message
---@return authstate.code? code
---@return authstate.details? details
function store:sessions(options) end

---@class authstate.session_info
---@field counts table<string, integer> records by type
---@field creds integer 1 or 0
---@field bytes integer memory in Redis
---@field version integer
---@field generation integer
---@field registered? boolean nil when the creds do not say
---@field last_write_ms? number server time, Unix epoch

---Reads sessions into the near cache. No effect without one.
---@param ids string[]
---@param options? authstate.call_options for all of them together
---@return integer? count of records
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function store:warm(ids, options) end

---What is known of a session without reading its records.
---@param id string
---@param options? authstate.call_options
---@return authstate.session_info? info nil alone when there is no such session
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function store:session_info(id, options) end

---Opens the connections of an nginx worker ahead of its first request, without waiting
---for them; for init_worker_by_lua. Elsewhere it does nothing.
---@return true? ok
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function store:on_worker_start() end

---Closes the store; the private server is shut down when nobody else uses it.
---@return true? ok
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function store:close() end

-- ---- session --------------------------------------------------------------------------

---A handle on one session.
---@class authstate.session
---@field id string
---@field keys authstate.keys
local session = {}

---@param options? authstate.call_options
---@return authstate.creds? creds nil alone when Redis says that there are none
---@return integer|string|nil version or message
---@return authstate.code? code
---@return authstate.details? details
function session:load_creds(options) end

---The creds as JSON text, exactly as it was written.
---@param options? authstate.call_options
---@return string? text nil alone when Redis says that there are none
---@return integer|string|nil version or message
---@return authstate.code? code
---@return authstate.details? details
function session:load_creds_json(options) end

---Reads the creds, or makes them when Redis says that there are none. Of two processes
---that do so at once exactly one makes them.
---@param make fun(): authstate.creds called only on a confirmed absence
---@param options? authstate.call_options
---@return authstate.creds? creds
---@return boolean|string created or message
---@return authstate.code? code
---@return authstate.details? details
function session:load_or_create(make, options) end

---@param creds authstate.creds
---@param options? authstate.write_options
---@return integer? version that the write made
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function session:save_creds(creds, options) end

---@class authstate.changes
---@field creds? authstate.creds
---@field keys? authstate.records `null` deletes
---@field expect? integer the write is a `conflict` when another version is stored

---Writes creds and keys together, all or nothing.
---@param changes authstate.changes
---@param options? authstate.write_options
---@return integer? version that the write made
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function session:commit(changes, options) end

---The same from `{"creds":{...},"keys":{"<type>":{"<id>":record|null}}}`, whose records
---are kept exactly; null deletes.
---@param text string
---@param options? authstate.write_options
---@return integer? version that the write made
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function session:commit_json(text, options) end

---@class authstate.loaded
---@field creds? authstate.creds
---@field keys authstate.records
---@field version integer
---@field generation? integer

---@class authstate.loaded_texts
---@field creds? string
---@field keys table<string, table<string, string>>
---@field version integer
---@field generation? integer

---Reads the whole session in one step.
---@param options? authstate.call_options
---@return authstate.loaded? loaded nil alone when there is no such session
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function session:load(options) end

---The same, each record a JSON text, exactly as it was written.
---@param options? authstate.call_options
---@return authstate.loaded_texts? loaded nil alone when there is no such session
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function session:load_json(options) end

---@class authstate.receipt
---@field records integer 0 when there was no session
---@field bytes integer
---@field generation? integer

---Deletes the whole session in one step.
---@param options? authstate.call_options
---@return authstate.receipt? receipt
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function session:delete(options) end

---What became of the last write of this session through this store.
---@return integer? seq nil before the first write
---@return "yes"|"no"|"maybe" applied
function session:last_commit() end

-- ---- keys -----------------------------------------------------------------------------

---The Signal keys of a session.
---@class authstate.keys
local keys = {}

---Reads records of one type, all in one step.
---@param kind string such as "pre-key"
---@param ids string[]
---@param options? authstate.call_options
---@return table<string, authstate.value>? found by id; an absent id is absent
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function keys:get(kind, ids, options) end

---The same, each record a JSON text, exactly as it was written.
---@param kind string
---@param ids string[]
---@param options? authstate.call_options
---@return table<string, string>? found by id; an absent id is absent
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function keys:get_json(kind, ids, options) end

---Writes records, all or nothing. `authstate.null` deletes.
---@param changes authstate.records
---@param options? authstate.write_options
---@return integer? version that the write made
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function keys:set(changes, options) end

---The same with JSON texts, which are kept exactly.
---@param changes authstate.texts
---@param options? authstate.write_options
---@return integer? version that the write made
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function keys:set_json(changes, options) end

---All ids of a type, in no order.
---@param kind string
---@param options? authstate.call_options
---@return string[]? ids
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function keys:list(kind, options) end

---@param kind string
---@param options? authstate.call_options
---@return integer? count
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function keys:count(kind, options) end

---How many records there are of each type; types without any are absent.
---@param options? authstate.call_options
---@return table<string, integer>? counts by type
---@return string? message
---@return authstate.code? code
---@return authstate.details? details
function keys:types(options) end

return authstate
