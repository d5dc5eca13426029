# SPDX-License-Identifier: GPL-2.0
# Front door of the project: `make help`. The modules themselves are described in Kbuild.

# A kernel build tree with CONFIG_RUST=y. Without it the pinned Debian kernel's is prepared and used, in the Debian 13
# system that scripts/setup-build-root provides.
KDIR ?=
# make test ONLY=<expr> picks tests by name, as pytest -k.
ONLY ?=
# make demo GUESTS=<types> runs it with guests of these types, one after the other.
GUESTS ?=

# Not called `build`: what is set on the command line reaches kbuild, which has a variable of that name.
RXEN_BUILD ?= $(CURDIR)/build
objects := $(RXEN_BUILD)/kbuild

ifeq ($(KDIR),)
kernel_tree = $(shell scripts/setup-kernel --print)
kernel_make = scripts/in-build-root $(MAKE) --no-print-directory -C $(kernel_tree) CC=x86_64-linux-gnu-gcc-14
rust_tool = scripts/in-build-root
setup := setup-toolchain
else
kernel_tree = $(KDIR)
kernel_make = $(MAKE) --no-print-directory -C $(KDIR)
rust_tool =
setup :=
endif
module_make = $(kernel_make) M=$(CURDIR) MO=$(objects)
# Tests that run make get none of the jobs of this one.
run_tests = env -u MAKEFLAGS -u MFLAGS scripts/run-tests
rust_files = $(shell git ls-files '*.rs' 2>/dev/null || find . -name '*.rs' -not -path './build/*')

.PHONY: all modules setup-toolchain setup-lab setup demo test test-all test-host install clean fmt fmt-check clippy doc lab-shell help

all: modules ## build the modules into build/modules (KDIR=<tree> for another kernel)

modules: $(setup) ## the same
	@mkdir -p $(objects) $(RXEN_BUILD)/modules
	+$(module_make) modules
	@cp $(objects)/*.ko $(RXEN_BUILD)/modules/

# For a kernel of scripts/setup-own-kernel, into build/<kernel>/modules. Only the debug kernel is made by clang.
modules-%: setup-toolchain ## build the modules for an own kernel: modules-noxen, modules-debug
	@scripts/setup-own-kernel $*
	@. scripts/versions.sh; scripts/in-build-root $(MAKE) --no-print-directory modules RXEN_BUILD=$(RXEN_BUILD)/$* \
		KDIR="$$(scripts/setup-own-kernel --print $*)/objects" $(if $(filter debug,$*),LLVM=-$$LLVM_MAJOR,CC=$$KERNEL_CC)

setup-toolchain: ## provide compiler and kernel tree
	@scripts/setup-build-root
	@scripts/setup-kernel

# A target of its own: with -j2 its downloads do not wait for the compiler.
setup-lab: setup-toolchain ## provide the lab: QEMU, Xen, dom0, guests
	@scripts/setup-lab

setup: setup-lab ## provide toolchain, kernel tree and lab (the other targets do it when needed)

demo: modules setup-lab ## real Xen, a real guest: disk and network on our modules through a live migration (GUESTS=pvh,pv,hvm)
	@scripts/demo $(if $(GUESTS),--guests $(GUESTS))

test: modules modules-noxen setup-lab ## the everyday tests, about an hour; ONLY=<expr> picks some by name
	@$(run_tests) $(if $(ONLY),-k "$(ONLY)")

test-all: modules modules-noxen modules-debug setup-lab ## every test there is, with all repetitions and kinds of guests: many hours
	@scripts/setup-own-kernel builtin
	@$(run_tests) --thorough --kinds pvh,pv,hvm,hvm-native,noxen-native,debug-native $(if $(ONLY),-k "$(ONLY)")

test-host: setup-toolchain ## only the tests of the pure parts, which run on this machine
	@$(run_tests) tests/host

install: modules ## install the modules, preferred over the C frontends (DESTDIR=<root>, KDIR=<tree>)
	scripts/install-modules $(RXEN_BUILD)/modules

fmt: setup-toolchain ## format the Rust code
	@$(rust_tool) rustfmt --edition 2021 --config-path rustfmt.toml $(rust_files)

fmt-check: setup-toolchain ## fail if the Rust code is not formatted
	@$(rust_tool) rustfmt --edition 2021 --check --config-path rustfmt.toml $(rust_files)

clippy: $(setup) ## the kernel's clippy lints; any warning fails
	@mkdir -p $(RXEN_BUILD)/clippy
	+@scripts/check-clippy $(kernel_make) M=$(CURDIR) MO=$(RXEN_BUILD)/clippy CLIPPY=1 modules

doc: modules ## rustdoc of all crates into build/doc
	@$(rust_tool) scripts/build-doc $(kernel_tree) $(objects) $(RXEN_BUILD)/doc

lab-shell: ## a shell in dom0 or a guest of a running lab (ARGS="host" or "guest")
	@scripts/lab-shell $(ARGS)

clean: ## remove what was built here; downloads and kernel trees stay in the cache
	rm -rf $(RXEN_BUILD)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+%?:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
