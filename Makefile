# A thin front for Meson. `make` builds build/caravan; results go to stdout, everything else to stderr.
CARAVAN_HOME ?= $(or $(XDG_DATA_HOME),$(HOME)/.local/share)/caravan
MODEL   ?= smollm2:135m
SEEDS   ?= 1000
SECONDS ?= 600
export CARAVAN_HOME PROMPT PREFIX

.PHONY: all run test bench asan tsan sim chaos faults journey fuzz tidy format install clean

all:
	@tools/setup build
	@tools/build release caravan

run: all
	@tools/get-default-model
	@build/caravan run $(MODEL) $${PROMPT:+"$$PROMPT"}

test:
	@tools/setup test
	@tools/get-default-model
	@tools/run_tests

bench:
	@tools/setup test
	@tools/build release
	@bench/run

asan:
	@tools/setup test
	@tools/run_tests asan

tsan:
	@tools/setup test
	@tools/build tsan
	@meson test -C build-tsan --print-errorlogs --suite unit

sim:
	@tools/setup build
	@tools/build release tests/sim/sim
	@build/tests/sim/sim $(SEEDS)

# Random faults for SECONDS (600), printed seed; SEED=N repeats the draws, AIM=throughput runs replicas of the model.
chaos:
	@tools/setup test
	@tools/build release caravan
	@tools/get-default-model
	@.venv/bin/python tests/net/chaos.py --seconds $(SECONDS) $${SEED:+--seed $$SEED} $${AIM:+--for $$AIM}

# A pull of a gigabyte through 200 random faults, printed seed; SEED=N repeats the draws.
faults:
	@tools/setup test
	@tools/build release caravan
	@.venv/bin/python tests/store/faults.py $${SEED:+--seed $$SEED}

# A person's whole way in the page, with three nodes of which one is killed, each stop looked at in every way.
journey:
	@tools/setup test
	@tools/build release caravan
	@tools/get-default-model
	@CARAVAN_JOURNEY=1 .venv/bin/python -m pytest -q tests/web/test_journey.py

fuzz:
	@tools/setup test
	@tools/run_fuzzers $(SECONDS)

tidy:
	@tools/tidy

format:
	@clang-format -i $$(git ls-files '*.c' '*.h')

install: all
	@meson install -C build >&2

clean:
	@rm -rf build build-asan build-tsan build-fuzz build-arm
