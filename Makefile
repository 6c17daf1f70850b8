# SPDX-License-Identifier: MIT
# authstate: one Makefile, none below it. `make help` lists the targets.
#
# Every tool can be replaced (CC=clang, LUAJIT=/opt/luajit, ...). Objects lie in
# build/<flavour>/, mirroring core/; the flavour is `release`, or `sanitize` with
# SANITIZE=1 (AddressSanitizer and UndefinedBehaviorSanitizer), or `coverage` with
# COVERAGE=1. `check` and `coverage` call make once more for such a flavour.

SHELL      := /bin/sh
CC         ?= gcc
LUAJIT     ?= luajit
BUSTED     ?= busted
PKG_CONFIG ?= pkg-config
# Another one that installs something is waited for: a new machine often begins with that.
APT_GET    ?= apt-get -o DPkg::Lock::Timeout=300
FIXTURES   := spec/fixtures

ifdef SANITIZE
FLAVOUR    := sanitize
OPTIMIZE   := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
              -fno-omit-frame-pointer
LINK_EXTRA := -fsanitize=address,undefined -Wl,-z,nodelete
# The sanitizer's runtime must be there before LuaJIT; LuaJIT itself never frees all.
RUN_ENV    := LD_PRELOAD="$$($(CC) -print-file-name=libasan.so)" \
              ASAN_OPTIONS=detect_leaks=0:abort_on_error=0 \
              UBSAN_OPTIONS=print_stacktrace=1
else ifdef COVERAGE
FLAVOUR    := coverage
OPTIMIZE   := -O0 -g --coverage
LINK_EXTRA := --coverage
else
FLAVOUR    := release
OPTIMIZE   := -O2 -g
# The codec's functions are small and many: across files they are a tenth of its time.
ifeq ($(findstring clang,$(CC)),)
TOGETHER   := -flto=auto -fno-plt
endif
endif

# V=1 shows whole commands.
Q          := $(if $(V),,@)
BUILD      := build/$(FLAVOUR)
MODULE     := $(BUILD)/authstate/core.so
SOURCES    := $(sort $(wildcard core/*/*.c))
OBJECTS    := $(SOURCES:core/%.c=$(BUILD)/core/%.o)

# luarocks may know the headers of another Lua 5.1 only.
LUA_INCDIR ?= $(or $(patsubst %/luajit.h,%,$(wildcard $(ROCKS_INCDIR)/luajit.h)), \
              $(shell $(PKG_CONFIG) --variable=includedir luajit 2>/dev/null))
CFLAGS     ?= $(OPTIMIZE)
WARNINGS   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
              -Wpointer-arith -Wvla
VERSION    := $(shell sed -n 's/^return "\(.*\)"$$/\1/p' lua/authstate/version.lua)
COMPILE    := $(CC) -std=c11 -D_GNU_SOURCE -DAS_VERSION='"$(VERSION)"' -fPIC \
              -fvisibility=hidden $(WARNINGS) $(CFLAGS) $(CPPFLAGS) -Icore -I$(LUA_INCDIR)
LIBS       := -lhiredis -lz -llz4 -lzstd -lssl -lcrypto -lm

LUA_ENV    := LUA_PATH='lua/?.lua;lua/?/init.lua;?.lua;;' LUA_CPATH='$(BUILD)/?.so;;' \
              AUTHSTATE_BUILD=$(FLAVOUR)

# Where `make install` puts things; luarocks has places of its own for them (INST_*).
PREFIX      ?= /usr/local
BINDIR      ?= $(PREFIX)/bin
LIBDIR      ?= $(PREFIX)/lib/lua/5.1
LUADIR      ?= $(PREFIX)/share/lua/5.1
INST_BINDIR ?= $(DESTDIR)$(BINDIR)
INST_LIBDIR ?= $(DESTDIR)$(LIBDIR)
INST_LUADIR ?= $(DESTDIR)$(LUADIR)
INSTALL     ?= install
LDOC        ?= ldoc
DOC         ?= build/doc
LUA_FILES   := $(wildcard lua/authstate/*.lua lua/authstate/*/*.lua)
DEMO_FILES  := $(FIXTURES)/small.json.gz $(FIXTURES)/small.trace.jsonl.gz
# Whether the command must be told where the modules are: PREFIX does not say it.
FAR_MODULES := $(filter-out $(PREFIX)/bin:$(PREFIX)/lib/lua/5.1:$(PREFIX)/share/lua/5.1, \
               $(BINDIR):$(LIBDIR):$(LUADIR))

# What a Debian 12 needs: to build and run, and to test besides. DEPS=no: all is there.
PACKAGES      := gcc libc6-dev pkg-config luajit2 libluajit2-5.1-dev libhiredis-dev zlib1g-dev \
                 liblz4-dev libzstd-dev libssl-dev redis-server redis-tools
TEST_PACKAGES := lua-busted lua-socket lua-filesystem lua-cjson locales luarocks lua-ldoc \
                 lua-discount lua5.1 lua5.4 $(NGINX_PACKAGES)
NGINX_PACKAGES := nginx libnginx-mod-http-lua lua-nginx-redis wrk
LINT_PACKAGES := lua-check clang clang-format clang-tidy
FUZZ_PACKAGES := clang libclang-rt-14-dev

.DEFAULT_GOAL := help
.PHONY: help deps test-deps build install doc options luals rocks test lint demo readme \
        check valgrind node sim fuzz coverage clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
	  awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

# $(call install,PACKAGES): installs those that are missing, or says how.
define install
@missing=''; \
[ '$(DEPS)' = no ] || for package in $(1); do \
  dpkg-query -W -f='$${db:Status-Abbrev}' $$package 2>/dev/null | grep -q '^ii' || \
    missing="$$missing $$package"; \
done; \
if [ -n "$$missing" ]; then \
  if [ "$$(id -u)" -ne 0 ]; then \
    echo "missing packages; run as root:" >&2; \
    echo "  $(APT_GET) update && $(APT_GET) install -y$$missing" >&2; \
    exit 1; \
  fi; \
  echo "installing$$missing"; \
  $(APT_GET) update -q >/dev/null && \
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    $(APT_GET) install -q -y --no-install-recommends $$missing >/dev/null; \
fi
endef

deps: ## install what building and running needs (Debian 12)
	$(call install,$(PACKAGES))

test-deps: deps
	$(call install,$(TEST_PACKAGES) $(LINT_PACKAGES))

build: deps $(MODULE) ## compile the core into build/<flavour>/authstate/core.so

$(MODULE): $(OBJECTS)
	@mkdir -p $(@D)
	@echo 'link $@'
	$(Q)$(CC) -shared $(CFLAGS) $(TOGETHER) $(LINK_EXTRA) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/core/binding/core.o: lua/authstate/version.lua

$(BUILD)/core/%.o: core/%.c | deps
	@mkdir -p $(@D)
	@echo 'compile $<'
	$(Q)$(COMPILE) $(TOGETHER) -MMD -MP -c -o $@ $<

install: build ## put modules, core and command under PREFIX (DESTDIR=, LUADIR=, ...)
	@for file in $(LUA_FILES:lua/%=%); do \
	  $(INSTALL) -D -m 644 "lua/$$file" '$(INST_LUADIR)'/"$$file" || exit 1; \
	done
	@$(INSTALL) -D -m 644 -t '$(INST_LUADIR)/authstate/demo' $(DEMO_FILES)
	@$(INSTALL) -D -m 755 $(MODULE) '$(INST_LIBDIR)/authstate/core.so'
	@$(INSTALL) -D -m 755 bin/authstate '$(INST_BINDIR)/authstate'
	@$(if $(FAR_MODULES),LUA_DIR='$(LUADIR)' LIB_DIR='$(LIBDIR)' awk \
	  '/^lua_dir=$$/ { $$0 = $$0 "\"" ENVIRON["LUA_DIR"] "\"" } \
	   /^lib_dir=$$/ { $$0 = $$0 "\"" ENVIRON["LIB_DIR"] "\"" } \
	   { print }' bin/authstate >'$(INST_BINDIR)/authstate')

doc: ## write the pages of the API into build/doc; a warning is an error
	$(call install,lua-ldoc lua-discount)
	@mkdir -p $(DOC)
	@$(LDOC) --quiet --fatalwarnings --dir $(DOC) . >/dev/null

luals: ## write the options into the definitions for editors
	@LUA_PATH='lua/?.lua;;' $(LUAJIT) doc/luals/put_options.lua doc/luals/library/authstate.lua

rocks: ## make a local rocks server in build/rocks
	$(call install,luarocks)
	@rocks/make-server build/rocks
	@echo 'luarocks --lua-version=5.1 install --only-server=$(CURDIR)/build/rocks authstate'

# All specs run in JOBS processes side by side, those chosen in one. What is measured runs
# alone. With `exec` what ends make ends them.
JOBS       ?= $(if $(SLOWEST),1,2)

test: test-deps build ## run all specs (SPEC=path, SANITIZE=1, SLOWEST=20, JOBS=1)
	@exec env $(RUN_ENV) $(LUA_ENV) \
	  $(if $(SPEC)$(BUSTED_FLAGS),,spec/support/beside.sh $(JOBS)) \
	  $(BUSTED) --lua="$$(command -v $(LUAJIT))" $(BUSTED_FLAGS) $(SPEC)

lint: build build/compile_flags.txt ## check formatting, warnings and the house rules (RULE=name)
	$(call install,$(LINT_PACKAGES))
	@$(LUAJIT) spec/lint/lint.lua $(RULE)

# One flag a line, as lint and editors (clangd) read them; written anew each time.
.PHONY: build/compile_flags.txt
build/compile_flags.txt:
	@mkdir -p $(@D)
	@printf '%s\n' $(filter-out $(CC),$(COMPILE)) >$@

options: build ## write doc/options.md from the rows of the options
	@$(LUA_ENV) $(LUAJIT) doc/write_options.lua >doc/options.md

demo: build ## real sessions on a server that is killed, every record checked
	@AUTHSTATE_BUILD=$(FLAVOUR) LUAJIT=$(LUAJIT) bin/authstate demo $(if $(FAULT),--fault $(FAULT))

readme: build ## run the demo and put what it prints into README.md
	@bin/authstate demo >build/demo.txt && $(LUAJIT) doc/put_demo.lua build/demo.txt README.md

# ---- checks

VALGRIND     := valgrind -q --error-exitcode=9 --leak-check=full \
                --errors-for-leak-kinds=definite
# Specs of small C programs, which valgrind runs as they are.
C_SPECS       = $(shell grep -l 'spec\.base\.program' $(wildcard spec/*/*_spec.lua))

# libFuzzer comes with clang only. How long each target is fuzzed, which are, and how many
# at a time.
FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 10
FUZZ_JOBS    ?= 2
FUZZ_TARGETS ?= $(shell sed -n 's/^  X(\([a-z0-9_]*\)).*/\1/p' spec/fuzz/fuzz.h)
FUZZ_SOURCES := $(wildcard core/base/*.c core/codec/*.c core/engine/*.c) \
                $(filter-out spec/fuzz/replay.c,$(wildcard spec/fuzz/*.c))
FUZZ_OBJECTS := $(FUZZ_SOURCES:%.c=build/fuzz/%.o)
FUZZ_FLAGS   := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
                -fno-omit-frame-pointer

LCOV         ?= lcov
GENHTML      ?= genhtml
COVERAGE_MIN ?= 90

# Simulated runs; `make test` has 500, or as many as SIM_SEEDS says.
CHECK_SEEDS  := $(or $(SIM_SEEDS),10000)

check: FUZZ_SECONDS = 60
check: valgrind fuzz node sim ## all specs under the sanitizers, C under valgrind, fuzzing, Node
	@$(MAKE) --no-print-directory SANITIZE=1 test
	@MANY_REQUESTS=60 $(MAKE) --no-print-directory test \
	  SPEC=spec/openresty/many_requests_spec.lua
	@COHERENCE_SECONDS=300 $(MAKE) --no-print-directory test \
	  SPEC=spec/coherence/storm_spec.lua
	@NGINX_COHERENCE=20 $(MAKE) --no-print-directory test \
	  SPEC=spec/openresty/coherence_spec.lua
	@echo "check: all specs under AddressSanitizer and UndefinedBehaviorSanitizer," \
	  "$(words $(C_SPECS)) C specs and a session under valgrind," \
	  "$(words $(FUZZ_TARGETS)) parsers fuzzed for $(FUZZ_SECONDS) s each," \
	  "$(CHECK_SEEDS) simulated runs," \
	  "a session shared with Node, nginx under load for 5 minutes," \
	  "near caches amid faults for 5 minutes: clean"

valgrind: test-deps build ## the specs of C programs, and one real session, under valgrind
	$(call install,valgrind)
	@exec env PROGRAM_RUNNER='$(VALGRIND)' $(LUA_ENV) \
	  spec/support/beside.sh $(JOBS) $(BUSTED) \
	  --lua="$$(command -v $(LUAJIT))" $(C_SPECS)
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT && \
	  $(LUA_ENV) $(VALGRIND) $(LUAJIT) -joff spec/valgrind/short_run.lua "$$directory/state"

node: test-deps build build/node/installed ## sessions that Node and we share, live
	@$(LUA_ENV) $(BUSTED) --lua="$$(command -v $(LUAJIT))" spec/node/hbinduni_hash_live.lua

sim: build ## stores that live through simulated faults (SIM_SEEDS=10000, SEED=7 for one)
	@AUTHSTATE_BUILD=$(FLAVOUR) LUAJIT=$(LUAJIT) bin/authstate sim \
	  $(if $(SEED),--seed $(SEED),--seeds $(CHECK_SEEDS))

fuzz: test-deps build build/fuzz/fuzzer ## fuzz each parser for FUZZ_SECONDS (FUZZ_TARGETS=cbor)
	@$(LUA_ENV) $(LUAJIT) spec/fuzz/seeds.lua build/fuzz/seeds
	@FUZZ_JOBS=$(FUZZ_JOBS) spec/fuzz/run.sh build/fuzz/fuzzer $(FUZZ_SECONDS) $(FUZZ_TARGETS)

.PHONY: fuzz-deps
fuzz-deps: deps
	$(call install,$(FUZZ_PACKAGES))

build/fuzz/fuzzer: $(FUZZ_OBJECTS)
	@echo 'link $@'
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)

build/fuzz/%.o: %.c | fuzz-deps
	@mkdir -p $(@D)
	@echo 'compile $< for the fuzzer'
	$(Q)$(FUZZ_CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link \
	  -Icore -MMD -MP -c -o $@ $<

# A process adds its counts to the files when it ends, whoever runs it: some specs' programs
# run as another user.
coverage: test-deps ## run all specs, measure the lines of core/: build/coverage/html
	$(call install,lcov)
	@$(MAKE) --no-print-directory COVERAGE=1 build
	@for notes in $$(find build/coverage/core -name '*.gcno'); do \
	  : >"$${notes%gcno}gcda" && chmod 666 "$${notes%gcno}gcda" || exit 1; \
	done
	@$(MAKE) --no-print-directory COVERAGE=1 test
	@$(LCOV) -q --capture --directory build/coverage/core --base-directory . --no-external \
	  --output-file build/coverage/core.info
	@$(GENHTML) -q --prefix "$$PWD" -o build/coverage/html build/coverage/core.info
	@$(LUAJIT) spec/coverage/report.lua build/coverage/core.info $(COVERAGE_MIN)

# Peers of the benchmarks. Node's are pinned in bench/peers, with a Node 20 of their own
# (Debian's is 18); its npm only installs them.
BENCH_PEERS := build/bench/hiredis \
               $(if $(PEERS),$(if $(findstring node,$(PEERS)),build/node/installed), \
               build/node/installed)
BENCH_KNOBS := $(foreach knob,ROUNDS WARMUP OPERATIONS FIXTURE SESSION TYPE PEERS SEED OUT \
               PROCESSORS,$(if $($(knob)),'$(knob)=$($(knob))'))
NPM         ?= npm

build/bench/hiredis: bench/peers/hiredis.c | deps
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g $(CPPFLAGS) -o $@ $< $(LDFLAGS) -lhiredis

build/node/installed: bench/peers/package.json bench/peers/package-lock.json
	$(call install,$(if $(shell command -v $(NPM)),,npm))
	@mkdir -p $(@D)
	@cp $^ $(@D)
	$(NPM) ci --prefix $(@D) --ignore-scripts --legacy-peer-deps --no-audit --no-fund
	@touch $@

.PHONY: bench
bench: build $(BENCH_PEERS) ## ours and peers in one run (CASE=read_100 ROUNDS=30 TYPE=session ...)
	$(call install,lua-socket lua-filesystem lua-cjson liblz4-1 libzstd1 $(NGINX_PACKAGES))
	@$(LUA_ENV) LUAJIT=$(LUAJIT) $(LUAJIT) bench/run.lua $(BENCH_KNOBS) $(CASE)

clean: ## remove build/
	rm -rf build

-include $(OBJECTS:.o=.d) $(FUZZ_OBJECTS:.o=.d)
