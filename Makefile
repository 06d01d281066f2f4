# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   make            everything into build/
#   make install    DESTDIR=, prefix=/usr/local (or PREFIX=); make uninstall
#   make dist       build/otelbpf-VERSION.tar.xz of what is committed
#   make deb        the Debian package, from that, into build/deb/; make rpm into build/rpm/
#   make check      what CI runs, without installing packages: selftests/run
#   make soak       the probes and the exporter for an hour, or SOAK_SECONDS: nothing grows
#   make long       100,000 events, a minute of standing still, a hundred kills, a hundred attachments: nothing is lost that is not counted
#   make bench      cost beside the peers
#   make lint       clang-format, cppcheck
#
# VMLINUX_BTF=FILE takes types from another kernel than the running one (make clean first).
# SANITIZE=1 builds user space with ASan and UBSan, into build/asan.

PREFIX ?= /usr/local
prefix ?= $(PREFIX)
bindir = $(prefix)/sbin
libdir = $(prefix)/lib/otelbpf
includedir = $(prefix)/include
mandir = $(prefix)/share/man
docdir = $(prefix)/share/doc/otelbpf
# Not below prefix: a host has one place for it.
confdir ?= /etc/otelbpf
completiondir = $(prefix)/share/bash-completion/completions
# Where systemd looks besides /etc: below /usr/local, too.
unitdir = $(prefix)/lib/systemd/system
sysusersdir = $(prefix)/lib/sysusers.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d

CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= $(shell command -v bpftool || echo /usr/sbin/bpftool)
PKG_CONFIG ?= pkg-config
RUSTC ?= rustc
# Of the target, as the compiler.
OBJCOPY ?= $(shell $(CC) -print-prog-name=objcopy)
STRIP ?= $(shell $(CC) -print-prog-name=strip)
VMLINUX_BTF ?= /sys/kernel/btf/vmlinux
VERSION := $(shell cat VERSION)
# In an unpacked `make dist` there is no repository, but a file.
COMMIT := $(shell cat COMMIT 2>/dev/null || git rev-parse --short HEAD 2>/dev/null)

B := build
U := $(B)$(if $(SANITIZE),/asan)
G := $(B)/gen

ARCH := $(shell $(CC) -dumpmachine | sed 's/-.*//;s/x86_64/x86/;s/aarch64/arm64/')
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)

LIBS := libbpf json-c libcurl zlib yaml-0.1
# Of the loader only.
LOADER_LIBS := libxdp libelf capstone
# Its soname changes with each Debian: a package for two of them takes the archive, -l:libcapstone.a.
CAPSTONE_LDLIBS ?= $(shell $(PKG_CONFIG) --libs capstone 2>/dev/null)
# Of the exporter only; libiberty has no .pc file.
EXPORTER_LIBS := libdw libelf liblzma libzstd nettle
CPPFLAGS += -D_GNU_SOURCE -Iheaders -Ilib -I$(G) \
	-DOTELBPF_VERSION='"$(VERSION)"' -DOTELBPF_COMMIT='"$(COMMIT)"' -DOTELBPF_LIBDIR='"$(libdir)"' \
	-DOTELBPF_CONFIG_DIR='"$(confdir)"' \
	$(shell $(PKG_CONFIG) --cflags $(LIBS) $(EXPORTER_LIBS) 2>/dev/null)
CFLAGS ?= -O2 -g
CFLAGS += -std=gnu11 -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Werror \
	-fstack-protector-strong
LDLIBS := $(shell $(PKG_CONFIG) --libs $(LIBS) 2>/dev/null) -lm -lpthread
LOADER_LDLIBS := $(shell $(PKG_CONFIG) --libs $(filter-out capstone,$(LOADER_LIBS)) 2>/dev/null) $(CAPSTONE_LDLIBS) $(LDLIBS)
EXPORTER_LDLIBS := $(shell $(PKG_CONFIG) --libs $(EXPORTER_LIBS) 2>/dev/null) -liberty $(LDLIBS)
TEST_LDLIBS := $(shell $(PKG_CONFIG) --libs libnghttp2 2>/dev/null)
ifdef SANITIZE
CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif

# -mcpu=v3: 32-bit compares and atomics that return a value; kernel >= 5.12.
BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -std=gnu11 -D__TARGET_ARCH_$(ARCH) \
	-Wall -Wextra -Wshadow -Werror -Wno-unused-parameter -Wno-missing-declarations -Wno-unused-function \
	-I$(G) -Ivmlinux -Iheaders -Iprogs $(if $(MULTIARCH),-idirafter /usr/include/$(MULTIARCH))

PROGS := $(patsubst progs/%.bpf.c,$(B)/progs/%.bpf.o,$(wildcard progs/*.bpf.c))
TEST_PROGS := $(patsubst selftests/progs/%.bpf.c,$(B)/selftests/progs/%.bpf.o,$(wildcard selftests/progs/*.bpf.c))
# The README's sample, as it stands there.
SAMPLE := $(B)/selftests/progs/sample.bpf.o
obj = $(patsubst %.c,$(U)/obj/%.o,$(wildcard $(1)))
LIB_OBJ := $(call obj,lib/*.c) $(U)/obj/syscall_names.o
LOADER_OBJ := $(call obj,loader/*.c)
EXPORTER_OBJ := $(call obj,exporter/*.c exporter/*/*.c)
# What tests may link: everything of the exporter but its main().
EXPORTER_LIB := $(filter-out %/main.o,$(EXPORTER_OBJ))
TEST_LIB := $(call obj,selftests/lib/*.c)
TESTS := $(patsubst selftests/%.c,$(U)/selftests/%,$(wildcard selftests/*_test.c))
TOOLS := $(U)/selftests/tools
# The heap workload with each allocator that is there: linked, linked statically, and copies of the libraries, as a probe on
# a library that others have mapped would slow them down.
SYSTEM_LIB := /usr/lib/$(MULTIARCH)
allocator_lib = $(and $(wildcard $(SYSTEM_LIB)/$(1)),lib/$(1))
HEAPS := glibc static probed stripped lib/libc.so.6 $(foreach l,libjemalloc.so.2 libtcmalloc_minimal.so.4 libmimalloc.so.2,$(call allocator_lib,$(l))) \
	$(if $(wildcard $(SYSTEM_LIB)/libjemalloc.so $(SYSTEM_LIB)/libjemalloc.a),jemalloc jemalloc_static jemalloc_prefixed) \
	$(if $(wildcard $(SYSTEM_LIB)/libtcmalloc_minimal.so $(SYSTEM_LIB)/libtcmalloc_minimal.a),tcmalloc tcmalloc_static) \
	$(if $(wildcard $(SYSTEM_LIB)/libmimalloc.so),mimalloc) \
	$(if $(shell command -v musl-gcc),musl musl_static lib/ld-musl.so)
TEST_TOOLS := $(patsubst selftests/tools/%.c,$(TOOLS)/%,$(filter-out %/burn_dlopen.c %/burn_library.c %/heap.c %/stepped.c,$(wildcard selftests/tools/*.c))) \
	$(addprefix $(TOOLS)/,burn_cpp burn_dlopen libburn.so burn_id burn_link libfar.so libstepped.so allocate_dynamic) \
	$(if $(shell command -v $(RUSTC)),$(addprefix $(TOOLS)/,burn_rust burn_rust_v0)) \
	$(addprefix $(TOOLS)/heap/,$(HEAPS))

# What the bench measures with.
BENCH := $(U)/selftests/bench
BENCH_TOOLS := $(patsubst selftests/bench/%.c,$(BENCH)/%,$(wildcard selftests/bench/*.c)) $(BENCH)/pairs_probed

.PHONY: all progs tests install uninstall dist deb rpm check soak long bench lint clean need asan
.DELETE_ON_ERROR:
.SECONDARY:

all: need progs $(U)/otelbpf $(U)/otelbpf-exporter
progs: $(PROGS)
tests: all $(TESTS) $(TEST_TOOLS) $(if $(SANITIZE),,$(BENCH_TOOLS)) $(TEST_PROGS) $(SAMPLE)
asan:
	$(MAKE) SANITIZE=1 tests

need:
	@for t in $(CLANG) $(LLVM_STRIP) $(BPFTOOL) $(PKG_CONFIG); do \
		command -v $$t >/dev/null || { echo "make: $$t is missing: ./scripts/deps installs what is needed" >&2; exit 1; }; done
	@$(PKG_CONFIG) --exists $(LIBS) $(LOADER_LIBS) $(EXPORTER_LIBS) || { echo "make: libraries are missing: ./scripts/deps installs what is needed" >&2; exit 1; }

# --- in the kernel -----------------------------------------------------------

$(G)/vmlinux.h:
	@mkdir -p $(@D)
	@[ -r '$(VMLINUX_BTF)' ] || { echo "make: no BTF at $(VMLINUX_BTF): set VMLINUX_BTF= to a vmlinux or a BTF file" >&2; exit 1; }
	# arm64's kernel has an enumerator of a name that is the value of an attribute here.
	$(BPFTOOL) btf dump file $(VMLINUX_BTF) format c >$@
	sed -i 's/^\tnone = /\tvmlinux_none = /' $@

$(G)/syscall_nr.h: scripts/gen-syscalls
	@mkdir -p $(@D)
	CC='$(CC)' scripts/gen-syscalls nr >$@

$(G)/syscall_names.c: scripts/gen-syscalls
	@mkdir -p $(@D)
	CC='$(CC)' scripts/gen-syscalls names >$@

# DWARF is stripped, BTF stays.
define bpf_rule
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@
	$(LLVM_STRIP) -g $@
endef
$(B)/progs/%.bpf.o: progs/%.bpf.c $(G)/vmlinux.h $(G)/syscall_nr.h
	$(bpf_rule)
$(B)/selftests/progs/%.bpf.o: selftests/progs/%.bpf.c $(G)/vmlinux.h $(G)/syscall_nr.h
	$(bpf_rule)

$(G)/sample.bpf.c: README.md
	@mkdir -p $(@D)
	awk '/sample:end/ { exit } on && !/^```/; /sample:begin/ { on = 1 }' README.md >$@
$(SAMPLE): $(G)/sample.bpf.c $(G)/vmlinux.h
	$(bpf_rule)

# --- user space --------------------------------------------------------------

EXTRA_exporter := -Iexporter
EXTRA_selftests := -I. -Iexporter -Iselftests/lib -DSELFTESTS_DIR='"$(CURDIR)/selftests"' -DBUILD_DIR='"$(CURDIR)/$(U)"' -DOBJECT_DIR='"$(CURDIR)/$(B)"'

$(U)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(EXTRA_$(firstword $(subst /, ,$<))) \
		-MMD -MP -c $< -o $@
$(U)/obj/syscall_names.o: $(G)/syscall_names.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# The page that is inside.
$(U)/obj/exporter/profile/html.o: exporter/profile/flamegraph.html

$(U)/otelbpf: $(LOADER_OBJ) $(LIB_OBJ)
	$(CC) $(LDFLAGS) $^ $(LOADER_LDLIBS) -o $@
$(U)/otelbpf-exporter: $(EXPORTER_OBJ) $(LIB_OBJ)
	$(CC) $(LDFLAGS) $^ $(EXPORTER_LDLIBS) -o $@
$(U)/selftests/%_test: $(U)/obj/selftests/%_test.o $(TEST_LIB) $(EXPORTER_LIB) $(LIB_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(TEST_LDLIBS) $(LOADER_LDLIBS) $(EXPORTER_LDLIBS) -o $@
# The loader's parts that have tests of their own.
$(U)/selftests/uprobe_place_test: $(U)/obj/loader/uprobe_place.o
$(U)/selftests/uprobe_usdt_test: $(addprefix $(U)/obj/loader/,uprobe_file.o uprobe_place.o uprobe_usdt.o)

# Workloads: small static programs of their own, so that their system calls are known.
TOOL_CFLAGS := -O2 -g -fno-omit-frame-pointer -D_GNU_SOURCE -Wall -Wextra -Werror
tool_cc = $(CC) -std=gnu11 $(TOOL_CFLAGS) -MMD -MP -MF $@.d -MT $@ $<
$(TOOLS)/%: selftests/tools/%.c
	@mkdir -p $(@D)
	$(tool_cc) -static -o $@ -lpthread

# It begins as the exporter does.
$(TOOLS)/confined: selftests/tools/confined.c exporter/confine.c lib/fail.c
	@mkdir -p $(@D)
	$(tool_cc) exporter/confine.c lib/fail.c -Iexporter -Ilib -static -o $@

# Programs whose functions a profile has to name.
$(TOOLS)/burn_cpp: selftests/tools/burn_cpp.cc
	@mkdir -p $(@D)
	$(CXX) -std=c++11 $(TOOL_CFLAGS) -MMD -MP -MF $@.d -MT $@ $< -o $@
$(TOOLS)/burn_dlopen: selftests/tools/burn_dlopen.c
	@mkdir -p $(@D)
	$(tool_cc) -o $@ -ldl
$(TOOLS)/libburn.so: selftests/tools/burn_library.c
	@mkdir -p $(@D)
	$(tool_cc) -shared -fPIC -Wl,--build-id -o $@
# Stripped, with the debug file where distributions put it, by build id, below debug/ ...
$(TOOLS)/burn_id: selftests/tools/burn_c.c
	@mkdir -p $(@D)
	$(tool_cc) -DBURN_VARIANT='"id"' -Wl,--build-id -o $@.full
	rm -rf $(@D)/debug
	id=$$(readelf -n $@.full | sed -n 's/.*Build ID: //p') && to=$(@D)/debug/.build-id/$$(echo $$id | cut -c1-2) && \
		mkdir -p $$to && $(OBJCOPY) --only-keep-debug $@.full $$to/$$(echo $$id | cut -c3-).debug
	$(STRIP) -o $@ $@.full && rm $@.full
# ... and with a link to it.
$(TOOLS)/burn_link: selftests/tools/burn_c.c
	@mkdir -p $(@D)/.debug
	$(tool_cc) -DBURN_VARIANT='"link"' -Wl,--build-id -o $@.full
	$(OBJCOPY) --only-keep-debug $@.full $(@D)/.debug/burn_link.debug
	$(STRIP) -o $@ $@.full && rm $@.full
	$(OBJCOPY) --add-gnu-debuglink=$(@D)/.debug/burn_link.debug $@
# Both ways in which Rust makes names. What stable compilers call unstable is the older way.
rustc = MAKEFLAGS= $(RUSTC) --edition 2021 --crate-name $(@F) -C opt-level=2 -C force-frame-pointers=yes $< -o $@
$(TOOLS)/burn_rust: selftests/tools/burn_rust.rs
	@mkdir -p $(@D)
	RUSTC_BOOTSTRAP=1 $(rustc) -Z unstable-options -C symbol-mangling-version=legacy
$(TOOLS)/burn_rust_v0: selftests/tools/burn_rust.rs
	@mkdir -p $(@D)
	BURN_V0=1 $(rustc) -C symbol-mangling-version=v0

# The one whose code is in a library of its own, found nowhere but where it was.
$(TOOLS)/far: selftests/tools/far.c
	@mkdir -p $(@D)
	$(tool_cc) -Wl,--build-id -o $@ -ldl
$(TOOLS)/libfar.so: selftests/tools/far.c
	@mkdir -p $(@D)
	$(tool_cc) -DLIBRARY -shared -fPIC -Wl,--build-id -o $@

$(TOOLS)/libstepped.so: selftests/tools/stepped.c
	@mkdir -p $(@D)
	$(tool_cc) -fno-builtin -fomit-frame-pointer -fcf-protection=none -nostdlib -shared -fPIC -o $@

# Valgrind knows no allocations of static programs.
$(TOOLS)/allocate_dynamic: selftests/tools/allocate.c
	@mkdir -p $(@D)
	$(tool_cc) -o $@ -lpthread

# Known allocations, by each allocator. Copies are other files than what the system has mapped.
heap_cc = $(if $(findstring musl,$(@F)),musl-gcc,$(CC)) -std=gnu11 $(TOOL_CFLAGS) -MMD -MP -MF $@.d -MT $@ $(filter %.c,$^)
$(addprefix $(TOOLS)/heap/,$(filter-out lib/%,$(HEAPS))): $(TOOLS)/heap/%: selftests/tools/heap.c
	@mkdir -p $(@D)
	$(heap_cc) $(HEAP_$*) -o $@ $(HEAP_LIBS_$*) -pthread
$(TOOLS)/heap/lib/ld-musl.so: /usr/lib/$(MULTIARCH:-gnu=-musl)/libc.so
	@mkdir -p $(@D)
	cp -L $< $@
$(TOOLS)/heap/lib/%: $(SYSTEM_LIB)/%
	@mkdir -p $(@D)
	cp -L $< $@
HEAP_glibc := -DDYNAMIC
HEAP_LIBS_glibc := -ldl
HEAP_musl := -DDYNAMIC
HEAP_jemalloc := -DDYNAMIC -Wl,-rpath,'$$ORIGIN/lib' -Wl,--no-as-needed
HEAP_LIBS_jemalloc := -ljemalloc -ldl
HEAP_tcmalloc := $(HEAP_jemalloc)
HEAP_LIBS_tcmalloc := -ltcmalloc_minimal -ldl
HEAP_mimalloc := $(HEAP_jemalloc)
HEAP_LIBS_mimalloc := -lmimalloc -ldl
HEAP_probed := -DDYNAMIC -DPROBED
HEAP_LIBS_probed := -ldl
HEAP_stripped = $(HEAP_static) -s
HEAP_static := -static -DWITH_REALLOCARRAY -DWITH_PVALLOC
HEAP_musl_static := -static -DWITH_REALLOCARRAY
HEAP_jemalloc_static := -DWITH_REALLOCARRAY -DWITH_OPERATORS
HEAP_LIBS_jemalloc_static := $(SYSTEM_LIB)/libjemalloc.a -lstdc++ -lm
HEAP_tcmalloc_static := -DWITH_REALLOCARRAY -DWITH_PVALLOC -DWITH_OPERATORS
HEAP_LIBS_tcmalloc_static := $(SYSTEM_LIB)/libtcmalloc_minimal.a -lstdc++ -lm
# As jemalloc calls its functions when it is configured with a prefix.
HEAP_jemalloc_prefixed := -DPREFIX=je_
HEAP_LIBS_jemalloc_prefixed = $@.a -lm
$(TOOLS)/heap/jemalloc_prefixed: | $(TOOLS)/heap/jemalloc_prefixed.a
$(TOOLS)/heap/jemalloc_prefixed.a: $(SYSTEM_LIB)/libjemalloc.a
	@mkdir -p $(@D)
	objcopy $(foreach f,malloc calloc realloc free posix_memalign aligned_alloc memalign valloc mallocx rallocx xallocx sallocx \
		dallocx sdallocx nallocx malloc_usable_size,--redefine-sym $(f)=je_$(f)) $< $@

bench_cc = $(tool_cc) -Iheaders -Ilib -Iexporter -o $@
$(BENCH)/%: selftests/bench/%.c
	@mkdir -p $(@D)
	$(bench_cc) $(shell $(PKG_CONFIG) --libs libbpf)
$(BENCH)/pairs_probed: selftests/bench/pairs.c
	@mkdir -p $(@D)
	$(bench_cc) -DPROBED
$(BENCH)/encode: selftests/bench/encode.c $(EXPORTER_LIB) $(LIB_OBJ)
	@mkdir -p $(@D)
	$(bench_cc) $(LDFLAGS) $(filter %.o,$^) $(EXPORTER_LDLIBS)

# --- around ------------------------------------------------------------------

UNITS := $(patsubst packaging/systemd/%.in,%,$(wildcard packaging/systemd/*.service.in))

install: all
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(libdir) $(DESTDIR)$(includedir)/otelbpf \
		$(DESTDIR)$(mandir)/man8 $(DESTDIR)$(mandir)/man5 $(DESTDIR)$(completiondir) $(DESTDIR)$(unitdir) \
		$(DESTDIR)$(sysusersdir) $(DESTDIR)$(tmpfilesdir) $(DESTDIR)$(docdir)/examples
	install -m 0755 $(B)/otelbpf $(B)/otelbpf-exporter $(DESTDIR)$(bindir)
	install -m 0644 $(PROGS) $(DESTDIR)$(libdir)
	install -m 0755 packaging/upgrade $(DESTDIR)$(libdir)
	install -m 0644 headers/otelbpf/*.h vmlinux/flavors.h $(DESTDIR)$(includedir)/otelbpf
	install -m 0644 docs/man/*.8 $(DESTDIR)$(mandir)/man8
	install -m 0644 docs/man/*.5 $(DESTDIR)$(mandir)/man5
	install -m 0644 docs/otelbpf.yaml $(DESTDIR)$(docdir)
	install -m 0644 packaging/bash-completion $(DESTDIR)$(completiondir)/otelbpf
	ln -sf otelbpf $(DESTDIR)$(completiondir)/otelbpf-exporter
	for unit in $(UNITS); do \
		sed -e 's|@sbindir@|$(bindir)|g' -e 's|@libdir@|$(libdir)|g' packaging/systemd/$$unit.in \
			>$(DESTDIR)$(unitdir)/$$unit && chmod 0644 $(DESTDIR)$(unitdir)/$$unit || exit 1; done
	install -m 0644 packaging/systemd/otelbpf.sysusers $(DESTDIR)$(sysusersdir)/otelbpf.conf
	install -m 0644 packaging/systemd/otelbpf.tmpfiles $(DESTDIR)$(tmpfilesdir)/otelbpf.conf
	install -m 0644 packaging/examples/* $(DESTDIR)$(docdir)/examples

uninstall:
	rm -f $(DESTDIR)$(bindir)/otelbpf $(DESTDIR)$(bindir)/otelbpf-exporter \
		$(DESTDIR)$(mandir)/man8/otelbpf.8 $(DESTDIR)$(mandir)/man8/otelbpf-exporter.8 \
		$(DESTDIR)$(mandir)/man5/otelbpf.yaml.5 \
		$(DESTDIR)$(completiondir)/otelbpf $(DESTDIR)$(completiondir)/otelbpf-exporter \
		$(UNITS:%=$(DESTDIR)$(unitdir)/%) $(DESTDIR)$(sysusersdir)/otelbpf.conf $(DESTDIR)$(tmpfilesdir)/otelbpf.conf
	rm -rf $(DESTDIR)$(libdir) $(DESTDIR)$(includedir)/otelbpf $(DESTDIR)$(docdir)

NAME_VERSION := otelbpf-$(VERSION)
dist:
	@mkdir -p $(B)
	git archive --prefix=$(NAME_VERSION)/ --add-virtual-file=$(NAME_VERSION)/COMMIT:$(COMMIT) HEAD | xz -T0 >$(B)/$(NAME_VERSION).tar.xz
	@echo $(B)/$(NAME_VERSION).tar.xz

# Built where nothing of this tree is, so that what is not committed cannot get in.
deb: dist
	@command -v dh >/dev/null || { echo "make: dh is missing: apt-get install debhelper" >&2; exit 1; }
	rm -rf $(B)/deb && mkdir -p $(B)/deb
	cp $(B)/$(NAME_VERSION).tar.xz $(B)/deb/otelbpf_$(VERSION).orig.tar.xz
	tar -C $(B)/deb -xf $(B)/$(NAME_VERSION).tar.xz
	cd $(B)/deb/$(NAME_VERSION) && DEB_BUILD_OPTIONS="parallel=$$(nproc) $$DEB_BUILD_OPTIONS" MAKEFLAGS= dpkg-buildpackage -b -us -uc
	rm -r $(B)/deb/$(NAME_VERSION)
	@ls $(B)/deb/*.deb

# On a system whose libraries are no RPMs nothing is known of what it needs: RPMFLAGS=--nodeps.
rpm: dist
	@command -v rpmbuild >/dev/null || { echo "make: rpmbuild is missing: apt-get install rpm, or dnf install rpm-build" >&2; exit 1; }
	rm -rf $(B)/rpm && mkdir -p $(B)/rpm/SOURCES
	cp $(B)/$(NAME_VERSION).tar.xz $(B)/rpm/SOURCES
	MAKEFLAGS= rpmbuild -bb $(RPMFLAGS) --define '_topdir $(CURDIR)/$(B)/rpm' --define 'version_is $(VERSION)' packaging/otelbpf.spec
	rm -rf $(B)/rpm/BUILD $(B)/rpm/BUILDROOT
	@ls $(B)/rpm/RPMS/*/*.rpm

check: tests
	selftests/run

soak: tests
	SOAK_SECONDS=$${SOAK_SECONDS:-3600} selftests/run soak

long: tests
	selftests/run long

bench: tests
	selftests/bench/run

lint:
	scripts/lint

clean:
	rm -rf $(B)

# sysusers.d below build/deb and build/rpm is a directory.
-include $(shell find $(B) -path $(B)/deb -prune -o -path $(B)/rpm -prune -o -type f -name '*.d' -print 2>/dev/null)
