# olica_mpi. `make help` lists the targets.
CC      = mpicc
BUILD   = release
PREFIX  = /usr/local
DESTDIR =
ARCH    = native
O       = build
MPIRUN  = mpirun
PYTHON := $(shell for p in /usr/bin/python3 python3; do $$p -c 'import numpy, h5py' 2>/dev/null && echo $$p && break; done)

flags_release = -O3 -march=$(ARCH) -fno-math-errno -fno-trapping-math -g
flags_debug   = -O0 -g3
flags_asan    = -O1 -g3 -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
CFLAGS        = $(flags_$(BUILD))
objects_in    = $(O)/$(BUILD)

packages = scalapack-openmpi hdf5-openmpi slepc petsc openblas jansson zlib
VERSION := $(shell sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' CHANGELOG 2>/dev/null | head -1)
GIT     := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)

# The libraries' headers are not ours to warn about: -isystem.
lib_cflags = $(subst -I,-isystem ,$(filter -I%,$(shell pkg-config --cflags $(packages))))
lib_libs   = $(shell pkg-config --libs $(packages)) -lm
all_cflags = -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
             -Wmissing-prototypes -Wpointer-arith -fopenmp $(CFLAGS) -Iinclude $(lib_cflags)

# One short line a file; `make V=1` shows the commands.
V  = 0
say_0 = @echo "  $(1) $@" &&
say_1 =
say   = $(call say_$(V),$(1))

sources := $(wildcard src/*/*.c)
objects := $(sources:%.c=$(objects_in)/%.o)
unit    := $(patsubst tests/unit/%.c,$(objects_in)/tests/unit/%,$(wildcard tests/unit/test_*.c))
mpitest := $(patsubst tests/mpi/%.c,$(objects_in)/tests/mpi/%,$(wildcard tests/mpi/test_*.c))

.PHONY: all
all: $(O)/olica_mpi

# The program is what the last build made: release, debug and asan objects live side by side.
$(O)/olica_mpi: $(objects_in)/olica_mpi
	@cp $< $@

$(objects_in)/olica_mpi: $(objects_in)/src/main.o $(objects_in)/libolica.a
	$(call say,LD) $(CC) $(all_cflags) $(LDFLAGS) -o $@ $^ $(lib_libs)

$(objects_in)/libolica.a: $(objects)
	@rm -f $@
	$(call say,AR) ar rcs $@ $^

# Only the file that prints them depends on the version strings.
$(objects_in)/src/run/usage.o: all_cflags += -DOLICA_VERSION='"$(VERSION)"' -DOLICA_GIT='"$(GIT)"' \
  -DOLICA_SCALAPACK_VERSION='"$(shell pkg-config --modversion scalapack-openmpi)"'

$(objects_in)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(all_cflags) -MMD -MP -c -o $@ $<

$(unit): $(objects_in)/tests/unit/%: $(objects_in)/tests/unit/%.o $(objects_in)/libolica.a
	$(call say,LD) $(CC) $(all_cflags) $(LDFLAGS) -o $@ $^ -lcmocka $(lib_libs)

$(mpitest): $(objects_in)/tests/mpi/%: $(objects_in)/tests/mpi/%.o $(objects_in)/libolica.a
	$(call say,LD) $(CC) $(all_cflags) $(LDFLAGS) -o $@ $^ $(lib_libs)

.PHONY: test-programs
test-programs: $(unit) $(mpitest)

-include $(shell find $(objects_in) -name '*.d' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf $(O)
