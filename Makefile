# Two commands on a fresh machine: `make demo` and `make test`. Everything else is CMake (cmake -S . -B build).

BUILD ?= build
JOBS ?= $(shell nproc)
CMAKE_FLAGS ?=
TARGET ?= all
PACKAGES := g++ cmake make libdnnl-dev libjpeg62-turbo-dev libmatio-dev libstb-dev libtomlplusplus-dev libcli11-dev nlohmann-json3-dev doctest-dev

# Nothing after the closing line of a target, not even make's own.
MAKEFLAGS += --no-print-directory

.PHONY: demo test test-fast test-sim races build setup sanitize sanitize-sim sim bench format clean help

help:
	@echo "make demo       build, then train and judge encoders on a synthetic set (about 6 minutes on two cores)"
	@echo "make test       build, then run all tests"
	@echo "make test-fast  the tests without the slow ones"
	@echo "make build      build/plumage"
	@echo "make bench      a short set of timings"
	@echo "make sanitize   the fast tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make sim        build-sim/plumage, with the CUDA backend on a simulated device (tests/cuda_sim)"
	@echo "make test-sim   the tests of the CUDA backend on the simulated device"
	@echo "make sanitize-sim   op rows on the simulated device, and its own tests, under the same"
	@echo "make races      op rows and views on the simulated device, whose kernels ThreadSanitizer watches"
	@echo "make setup      install the libraries that are missing (Debian; done by the others when needed)"

demo: build
	$(BUILD)/plumage demo

build: setup
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS) > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@grep 'plumage:' $(BUILD).log || true
	@rm -f $(BUILD).log
	cmake --build $(BUILD) -j $(JOBS) --target $(TARGET)

test: build
	@tests/run.sh $(BUILD)

test-fast: build
	@tests/run.sh $(BUILD) --fast

# PLUMAGE_ALLOC=plain: a tensor that lay in the allocator's arenas would be out of AddressSanitizer's sight.
sanitize:
	@PLUMAGE_ALLOC=plain $(MAKE) test-fast BUILD=build-sanitize CMAKE_FLAGS="-DPLUMAGE_SANITIZE=ON -DPLUMAGE_WERROR=OFF"

sanitize-sim:
	@$(MAKE) build BUILD=build-sanitize-sim TARGET="test_cuda_sim test_op_cases" CMAKE_FLAGS="-DPLUMAGE_CUDA=SIM -DPLUMAGE_SANITIZE=ON -DPLUMAGE_WERROR=OFF"
	@PLUMAGE_ALLOC=plain PLUMAGE_THREADS=1 OMP_WAIT_POLICY=passive tests/run.sh build-sanitize-sim

sim:
	@$(MAKE) build BUILD=build-sim CMAKE_FLAGS="-DPLUMAGE_CUDA=SIM $(CMAKE_FLAGS)"

test-sim: sim
	@PLUMAGE_THREADS=1 OMP_WAIT_POLICY=passive tests/run.sh build-sim --device

races:
	@$(MAKE) sim TARGET=races
	@PLUMAGE_THREADS=1 OMP_WAIT_POLICY=passive tests/run.sh build-sim/races --races

bench: build
	@bench/run.sh $(BUILD)

setup:
	@cmake/setup.sh $(PACKAGES)

format:
	clang-format -i $$(git ls-files '*.h' '*.cpp')

clean:
	rm -rf $(BUILD) build-*
