# olica_mpi. `make help` lists the targets.
CC      = mpicc
BUILD   = release
PREFIX  = /usr/local
DESTDIR =
ARCH    = native
O       = build
MPIRUN  = mpirun
PYTHON  = $(shell for p in /usr/bin/python3 python3; do $$p -c 'import numpy, h5py, pytest, xdist' 2>/dev/null && echo $$p && break; done)

flags_release = -O3 -march=$(ARCH) -mprefer-vector-width=512 -ffp-contract=fast -fno-math-errno -fno-trapping-math -g
flags_debug   = -O0 -g3
flags_fuzz    = -O1 -g -Wno-pass-failed -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
flags_asan    = -O1 -g3 -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
CFLAGS        = $(flags_$(BUILD))
objects_in    = $(O)/$(BUILD)

# Another name would have no flags at all: a build without optimisation.
builds := $(patsubst flags_%,%,$(filter flags_%,$(.VARIABLES)))
ifneq ($(words $(BUILD)) $(filter $(BUILD),$(builds)),1 $(BUILD))
$(error BUILD = "$(BUILD)", expected one of $(sort $(builds)))
endif

# The libraries' names for pkg-config, as Debian has them. Elsewhere for example: make SCALAPACK=scalapack HDF5=hdf5
# (doc/install.md). oneDNN comes without such a file: flags for compiler and linker.
SCALAPACK = scalapack-openmpi
HDF5      = hdf5-openmpi
ONEDNN    = -ldnnl
packages  = $(SCALAPACK) $(HDF5) slepc petsc openblas jansson zlib libpcre2-8 libutf8proc
VERSION := $(shell sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' CHANGELOG 2>/dev/null | head -1)
GIT     := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)

# The libraries' headers are not ours to warn about: -isystem.
lib_cflags = $(subst -I,-isystem ,$(filter -I%,$(shell pkg-config --cflags $(packages)) $(ONEDNN)))
lib_libs   = $(shell pkg-config --libs $(packages)) $(filter-out -I%,$(ONEDNN)) -lm
all_cflags = -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
             -Wmissing-prototypes -Wpointer-arith -fopenmp $(CFLAGS) -Iinclude -Isrc $(lib_cflags)

# One short line a file; `make V=1` shows the commands.
V  = 0
say_0 = @echo "  $(1) $@" &&
say_1 =
say   = $(call say_$(V),$(1))

sources := $(wildcard src/*/*.c src/*/*/*.c)
objects := $(sources:%.c=$(objects_in)/%.o)
unit    := $(patsubst tests/unit/%.c,$(objects_in)/tests/unit/%,$(wildcard tests/unit/test_*.c))
mpitest := $(patsubst tests/mpi/%.c,$(objects_in)/tests/mpi/%,$(wildcard tests/mpi/test_*.c))
fuzz    := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
benches := $(patsubst %.c,$(objects_in)/%,$(wildcard tests/bench/*.c))
replay  := $(fuzz:%=$(objects_in)/tests/fuzz/replay_%)

# What Debian 12 has to have. `check` also wants the tests' judges, `tidy` and `format` the tools.
deps_build = gcc make pkg-config openmpi-bin libopenmpi-dev libscalapack-openmpi-dev libhdf5-openmpi-dev \
             libpetsc-real-dev libslepc-real-dev libopenblas-openmp-dev libdnnl-dev libjansson-dev zlib1g-dev libpcre2-dev libutf8proc-dev
deps_check = libcmocka-dev mandoc python3 python3-numpy python3-h5py python3-pytest python3-pytest-xdist
deps_bench = gnuplot-nox
deps_fuzz  = clang libclang-rt-dev libomp-dev
deps_tidy  = clang-format clang-tidy cppcheck shellcheck
deps_slurm = slurm-wlm munge
deps_nodes = iproute2
deps_ecosystem = python3-venv chromium gnuplot-nox

.PHONY: all
all: $(O)/olica_mpi
	@mkdir -p build/demo # where input/demo/config.ini writes

# The program is what the last build made: release, debug and asan objects live side by side.
.PHONY: FORCE
$(O)/olica_mpi: $(objects_in)/olica_mpi FORCE
	@cmp -s $< $@ || { cp $< $@.new && mv -f $@.new $@; }

$(objects_in)/olica_mpi: $(objects_in)/src/main.o $(objects_in)/libolica.a
	$(call say,LD) $(CC) $(all_cflags) $(LDFLAGS) -o $@ $^ $(lib_libs)

$(objects_in)/libolica.a: $(objects)
	@rm -f $@
	$(call say,AR) ar rcs $@ $^

# What is installed: one object, in which only the functions of include/olica.h can be seen from outside.
$(objects_in)/public/libolica.a: $(objects_in)/libolica.a include/olica.h
	@mkdir -p $(@D)
	@rm -f $@
	@sed -n 's/^[a-z].*\b\(olica_[a-z_]*\)(.*/\1/p' include/olica.h >$(@D)/names
	$(call say,LD) ld -r -o $(@D)/olica.o --whole-archive $<
	@objcopy --keep-global-symbols=$(@D)/names $(@D)/olica.o
	$(call say,AR) ar rcs $@ $(@D)/olica.o

# A stamp is renewed when what it holds changes: flags for all objects, the version for the file that prints it. (By a
# pattern rule stamps would be intermediate files: then `make bench-programs` after `make` compiles everything again.)
$(objects_in)/flags.stamp: | libraries
$(objects_in)/flags.stamp:   stamped = $(CC) $(all_cflags)
$(objects_in)/version.stamp: stamped = $(VERSION) $(GIT)
$(objects_in)/flags.stamp $(objects_in)/version.stamp: always
	@mkdir -p $(@D)
	@echo '$(stamped)' | cmp -s - $@ || echo '$(stamped)' >$@

.PHONY: always libraries
always:

libraries:
	@pkg-config --exists --print-errors $(packages) || { echo 'A library is missing (make deps), or has another name' \
	  'for pkg-config here: doc/install.md.' >&2; exit 1; }

$(objects_in)/src/config/usage.o: $(objects_in)/version.stamp
$(objects_in)/src/config/usage.o: private all_cflags += -DOLICA_VERSION='"$(VERSION)"' -DOLICA_GIT='"$(GIT)"' \
  -DOLICA_SCALAPACK_VERSION='"$(shell pkg-config --modversion $(SCALAPACK))"'

$(objects_in)/%.o: %.c $(objects_in)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(all_cflags) -MMD -MP -c -o $@ $<

$(unit): $(objects_in)/tests/unit/%: $(objects_in)/tests/unit/%.o $(objects_in)/libolica.a
	$(call say,LD) $(CC) $(all_cflags) $(LDFLAGS) -o $@ $^ -lcmocka $(lib_libs)

$(mpitest) $(benches): %: %.o $(objects_in)/libolica.a
	$(call say,LD) $(CC) $(all_cflags) $(LDFLAGS) -o $@ $^ $(lib_libs)

# What the tests preload to make the system fail, or wait well. No sanitizers: it is loaded before theirs.
shim = $(addprefix $(objects_in)/tests/faults/,shim.so unknown_processor.so patience.so cputime.so)
$(shim): $(objects_in)/%.so: %.c
	@mkdir -p $(@D)
	$(call say,LD) $(CC) -std=c11 -O1 -Wall -Wextra -Werror -fPIC -shared -o $@ $< -ldl

.PHONY: test-programs
test-programs: $(unit) $(mpitest) $(replay) $(shim)

.PHONY: bench-programs
bench-programs: $(benches)

# A fuzz target: with libFuzzer (BUILD=fuzz CC=clang's), or with a main that replays its seeds.
$(objects_in)/tests/fuzz/replay_%: $(objects_in)/tests/fuzz/fuzz_%.o $(objects_in)/tests/fuzz/replay.o $(objects_in)/libolica.a
	$(call say,LD) $(CC) $(all_cflags) $(LDFLAGS) -o $@ $^ $(lib_libs)

$(objects_in)/tests/fuzz/fuzz_%: $(objects_in)/tests/fuzz/fuzz_%.o $(objects_in)/libolica.a
	$(call say,LD) $(CC) $(all_cflags) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(lib_libs)

-include $(shell find $(objects_in) -name '*.d' 2>/dev/null)

# ---- what users call ----

# Installs what is missing, and does nothing when all is there.
.PHONY: deps deps-check deps-tidy
deps:       ; @tests/install-deps $(deps_build)
deps-check: ; @tests/install-deps $(deps_build) $(deps_check)
deps-tidy:  ; @tests/install-deps $(deps_build) $(deps_check) $(deps_tidy)

# Make read pkg-config's answers when it started: after an installation it has to start again.
.PHONY: demo
demo: deps
	@$(MAKE) --no-print-directory all demo-run

.PHONY: demo-run
demo-run:
	$(as_root) $(MPIRUN) $(mpi_options) -n 2 $(O)/olica_mpi input/demo/config.ini

# As root (in a container, in CI) Open MPI wants to be told twice.
as_root     = $(if $(filter 0,$(shell id -u)),OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1)
mpi_options = --oversubscribe

.PHONY: check
check: deps-check
	@$(MAKE) --no-print-directory all test-programs check-run

# The same checks at more rank counts, back ends and kernels, and the full-size model: those that tests/conftest.py lists.
.PHONY: check-long
check-long: deps-check
	@$(MAKE) --no-print-directory all test-programs check-run WHICH=long

# Three files of tests at a time: much of a test is starts, waits and one rank.
WHICH = not long
.PHONY: check-run
check-run:
	OLICA_MPI=$(abspath $(O)/olica_mpi) OLICA_BUILD=$(BUILD) $(PYTHON) -m pytest -q -n 3 --dist loadfile -p no:cacheprovider -rs -m "$(WHICH)" tests --ignore=tests/full $(PYTEST)

# The full-size model, two ranks, minutes: the published code's own figures and ours.
.PHONY: check-full
check-full: deps-check
	@$(MAKE) --no-print-directory all
	OLICA_MPI=$(abspath $(O)/olica_mpi) $(PYTHON) -m pytest -q -s -p no:cacheprovider -rs tests/full

# Exports in the tools they are for, each in an environment that is built from the package registry: half an hour the first
# time, most of it llama.cpp's compilation. ECOSYSTEM='--models demo --python llama.cpp=PYTHON': see tests/ecosystem/run.py.
.PHONY: check-ecosystem
check-ecosystem: deps-check
	@tests/install-deps $(deps_ecosystem)
	@$(MAKE) --no-print-directory all
	OLICA_MPI=$(abspath $(O)/olica_mpi) $(PYTHON) tests/ecosystem/run.py $(ECOSYSTEM)

# kill -9 at random moments, with restarts: `make check-kill KILLS=1000 SEED=1 JOB=config.ini` (default: every method on a tiny model).
KILLS = 100
SEED = 1
.PHONY: check-kill
check-kill: deps-check
	@tests/install-deps $(deps_nodes)
	@$(MAKE) --no-print-directory all $(shim)
	OLICA_MPI=$(abspath $(O)/olica_mpi) OLICA_BUILD=$(BUILD) $(PYTHON) tests/kill_campaign.py --kills $(KILLS) --seed $(SEED) $(if $(JOB),--job $(JOB))

# The tiny model of every family of ../shared, pruned by two methods: killed and restarted, evaluated, exported, opened in transformers
# (FAMILIES='--families gemma2,phi3 --python PYTHON'): minutes.
.PHONY: check-families
check-families: deps-check
	@$(MAKE) --no-print-directory all
	OLICA_MPI=$(abspath $(O)/olica_mpi) $(PYTHON) tests/family_campaign.py $(FAMILIES)

# Hundreds of small jobs with a fault each, and the table of how they end: minutes.
.PHONY: check-faults
check-faults: deps-check
	@$(MAKE) --no-print-directory all $(shim)
	@OLICA_MPI=$(abspath $(O)/olica_mpi) OLICA_BUILD=$(BUILD) $(PYTHON) tests/faults/campaign.py

# valgrind (in a build without AVX-512, which it does not know) and the sanitizers, on 2 ranks.
.PHONY: memcheck
memcheck: deps-check
	@tests/install-deps valgrind
	@$(MAKE) --no-print-directory all BUILD=debug CFLAGS='-O1 -g -march=x86-64-v2' O=$(O)/valgrind
	@$(MAKE) --no-print-directory all BUILD=asan O=$(O)/sanitizers
	$(PYTHON) tests/memcheck.py $(O)/valgrind/olica_mpi $(O)/sanitizers/olica_mpi

# Times of the whole job and of its phases, on 1 and 2 ranks, as medians of several runs in turn.
.PHONY: bench
bench: deps-check
	@$(MAKE) --no-print-directory all bench-programs
	@$(as_root) OLICA_MPI=$(abspath $(O)/olica_mpi) $(PYTHON) tests/bench.py

# A scaling study of the demo at 1 and 2 ranks, strong and weak; then, for the volume of communication alone, up to 64
# ranks on whatever cores there are. Tables are printed, CSV and plots go to build/bench.
scaling = $(as_root) OLICA=$(abspath $(O)/olica_mpi) PYTHON=$(PYTHON) jobs/scaling.sh --local
.PHONY: bench-scaling
bench-scaling: deps-check
	@tests/install-deps $(deps_bench)
	@$(MAKE) --no-print-directory all
	@rm -rf $(O)/bench/scaling $(O)/bench/volume
	@$(scaling) "1 2" --config input/demo/config.ini --weak 128 --out $(O)/bench/scaling
	@$(scaling) "1 2 4 8 16 32 64" --config input/demo/config.ini --runs 1 --out $(O)/bench/volume \
	  --set calibration.samples=64 --set evaluate.windows=64

# Layers of LLaMA-7B's, 13B's and 70B's shape with random weights (BENCH='--help': settings); the whole job on a model of 7B's
# shape, killed in the middle and started again (42 GB of disk; BENCH='--layers 4' less); the performance model, fitted
# to jobs that it runs, judged by others, and evaluated for the class of machine in jobs/machine-class.json; and Olica's
# published Python code beside this program (BENCH='--code CHECKOUT --python PYTHON'; SHAPE=7b: two layers of that shape).
BENCH =
SHAPE =
.PHONY: bench-7b bench-7b-whole bench-export bench-model bench-published
bench-7b bench-7b-whole bench-export bench-model bench-published: deps-check
	@$(MAKE) --no-print-directory all bench-programs $(shim)
	@$(as_root) OLICA_MPI=$(abspath $(O)/olica_mpi) $(PYTHON) tests/$(subst -,_,$@).py $(BENCH) \
	  $(if $(filter bench-published,$@),$(addprefix --shape ,$(SHAPE)))

# What the model of src/la/placement.c is fitted to, up to this order, and the factor of ond = standard; minutes.
LARGEST = 3072
.PHONY: bench-solvers
bench-solvers: deps-check
	@$(MAKE) --no-print-directory bench-programs
	@$(as_root) $(PYTHON) tests/bench_solvers.py $(LARGEST)

# The figure of the README, doc/perplexity.svg, and its table: the demo at four sparsities by both methods.
.PHONY: figure
figure: deps-check
	@tests/install-deps $(deps_bench)
	@$(MAKE) --no-print-directory all
	@$(as_root) OLICA_MPI=$(abspath $(O)/olica_mpi) $(PYTHON) tests/figure.py

# The tables of doc/quality.md: methods at equal parameters, several seeds (BENCH='--help': settings). BENCH='--biased PYTHON' adds the
# model with biases, which an interpreter with torch and transformers makes.
.PHONY: quality
quality: deps-check
	@$(MAKE) --no-print-directory all
	@$(as_root) OLICA_MPI=$(abspath $(O)/olica_mpi) $(PYTHON) tests/quality.py $(BENCH)

# Fuzzing with libFuzzer, each target (or one: FUZZ=tokenizer_json) for so many seconds; what is found stays
# beside its corpus in build/fuzz.
SECONDS = 600
FUZZ    = $(fuzz)
.PHONY: fuzz
fuzz: deps
	@tests/install-deps $(deps_fuzz)
	@OMPI_CC=clang $(MAKE) --no-print-directory BUILD=fuzz fuzz-run

.SECONDARY:
.PHONY: fuzz-run
fuzz-run: $(FUZZ:%=$(objects_in)/tests/fuzz/fuzz_%)
	@for name in $(FUZZ); do mkdir -p $(O)/fuzz/corpus/$$name && \
	  $(as_root) $(objects_in)/tests/fuzz/fuzz_$$name -max_total_time=$(SECONDS) -max_len=16384 -timeout=10 -rss_limit_mb=3072 \
	    -print_final_stats=1 -verbosity=0 -artifact_prefix=$(O)/fuzz/found-$$name- \
	    $(O)/fuzz/corpus/$$name tests/fuzz/seeds/$$name || exit 1; done

# The jobs of jobs/ under a real Slurm on this machine alone: minutes.
.PHONY: check-slurm
check-slurm: deps-check
	@tests/install-deps $(deps_slurm)
	@$(MAKE) --no-print-directory all
	jobs/test-slurm.sh $(O)/olica_mpi

# A job over two machines of this machine's making (network namespaces; root), and a link that is slow, and one that breaks.
.PHONY: check-nodes
check-nodes: deps-check
	@tests/install-deps $(deps_nodes)
	@$(MAKE) --no-print-directory all
	jobs/test-nodes.sh $(O)/olica_mpi

# What goes where. Documents keep their folders, so that their links lead somewhere. The manual and the module file are
# made for a PREFIX, so they are not kept.
read_too   = jobs/README.md packaging/README.md tests/README.md python/README.md input/data/README.md tools/convert.py LICENSE CITATION.cff CONTRIBUTING.md
share      = $(DESTDIR)$(PREFIX)/share
examples   = $(share)/olica_mpi
documents  = $(share)/doc/olica_mpi
manual     = $(share)/man/man1/olica_mpi.1
completion = $(share)/bash-completion/completions/olica_mpi
modulefile = $(share)/modulefiles/olica_mpi/$(VERSION)
libdir     = $(DESTDIR)$(PREFIX)/lib
for_prefix = sed 's|@PREFIX@|$(PREFIX)|g; s|@VERSION@|$(VERSION)|g; s|@REQUIRES@|$(packages)|g; s|@LIBS@|$(filter-out -I%,$(ONEDNN))|g'

# The demo of a clone writes into its build folder, the installed one to where its user stands.
installed_demo = s|\.\./\.\./build/demo/|$$PWD/olica-demo-|; s|input/demo/config.ini .*|$(PREFIX)/share/olica_mpi/input/demo/config.ini|

.PHONY: install uninstall
install: all $(objects_in)/public/libolica.a
	install -D -m 755 $(O)/olica_mpi $(DESTDIR)$(PREFIX)/bin/olica_mpi
	install -D -m 644 $(objects_in)/public/libolica.a $(libdir)/libolica.a
	install -D -m 644 include/olica.h $(DESTDIR)$(PREFIX)/include/olica.h
	install -d $(libdir)/pkgconfig
	$(for_prefix) packaging/olica.pc.in >$(libdir)/pkgconfig/olica.pc
	install -d $(examples)/input/demo $(examples)/input/data $(examples)/tools $(examples)/jobs $(documents) $(dir $(manual) $(completion) $(modulefile))
	install -m 644 $(wildcard input/*.ini) $(examples)/input
	install -m 644 $(wildcard input/demo/*) $(examples)/input/demo
	sed '$(installed_demo)' input/demo/config.ini >$(examples)/input/demo/config.ini
	install -m 644 input/data/README.md $(examples)/input/data
	install -m 755 tools/convert.py $(examples)/tools
	install -m 755 $(filter-out jobs/test-%,$(wildcard jobs/*.sh jobs/*.py)) $(examples)/jobs
	install -m 644 jobs/README.md $(wildcard jobs/*.json) $(examples)/jobs
	install -m 644 README.md CHANGELOG $(documents)
	for file in $(wildcard doc/*.md doc/*.svg doc/*.c) $(read_too); do install -D -m 644 $$file $(documents)/$$file || exit 1; done
	ln -sfn ../doc/olica_mpi/doc $(examples)/doc
	install -m 644 packaging/olica_mpi.bash $(completion)
	awk -v program=$(O)/olica_mpi -f doc/man.awk doc/olica_mpi.1.in | $(for_prefix) >$(manual)
	$(for_prefix) packaging/modulefile.in >$(modulefile)

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/olica_mpi $(manual) $(completion)
	rm -f $(libdir)/libolica.a $(libdir)/pkgconfig/olica.pc $(DESTDIR)$(PREFIX)/include/olica.h
	rm -rf $(examples) $(documents) $(dir $(modulefile))

shell_files = .ci/run tests/install-deps $(wildcard jobs/*.sh packaging/*.sh packaging/*.bash)
c_files = $(wildcard src/*.c src/*/*.[ch] src/*/*/*.[ch] include/*.h doc/*.c tests/*/*.[ch])

.PHONY: format tidy
format: deps-tidy
	clang-format -i $(c_files)

tidy: deps-tidy
	@clang-format --dry-run -Werror $(c_files)
	clang-tidy --quiet $(wildcard src/*.c src/*/*.c src/*/*/*.c) -- $(all_cflags)
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	  --suppressions-list=tests/cppcheck.suppressions -Iinclude -Isrc src
	shellcheck -x $(shell_files)

.PHONY: clean help
clean:
	rm -rf $(O)

help:
	@echo "make all         build build/olica_mpi (BUILD=release|debug|asan, CC, CFLAGS, ARCH=native, O=build, V=1)"
	@echo "make demo        install what is missing, build, prune the small model in input/demo"
	@echo "make check       install what is missing, build, run all tests (PYTEST='-k npy' for some)"
	@echo "make check-long  the same tests at more rank counts, back ends and kernels; the full-size model (minutes)"
	@echo "make check-families   every family of ../shared pruned by two methods, killed, restarted, exported (half an hour)"
	@echo "make check-ecosystem  exports in transformers, CTranslate2, ONNX Runtime, llama.cpp (network; half an hour)"
	@echo "make check-full  SmolLM2-135M against the published code's figures (needs ../shared; minutes)"
	@echo "make check-slurm the jobs of jobs/ under a real Slurm on this machine (minutes)"
	@echo "make check-nodes a job over two hosts in network namespaces, and a link that breaks (root; a minute or two)"
	@echo "make check-kill  kill -9 at random moments, with restarts, every method, one and two hosts (KILLS=1000 SEED=1 JOB=config.ini; 100: minutes)"
	@echo "make check-faults  faults of disk, memory and ranks, injected into small jobs (minutes)"
	@echo "make memcheck    valgrind and the sanitizers on a small model"
	@echo "make bench       times of the job and its phases, of the tokenizers"
	@echo "make bench-scaling  tables and plots of the demo at 1 and 2 ranks; calls and bytes up to 64"
	@echo "make bench-export  the rate at which exports are written, beside the disk's"
	@echo "make bench-7b    layers of LLaMA-7B's and 70B's shape (BENCH='--layers 4'); bench-model: the performance model"
	@echo "make bench-7b-whole  the whole job on a model of 7B's shape, killed and started again (BENCH='--layers 4')"
	@echo "make bench-published  beside Olica's published code (BENCH='--code CHECKOUT --python PYTHON' SHAPE=7b)"
	@echo "make bench-solvers  times of the solvers (LARGEST=3072), the model fitted to them, and both forms of ond"
	@echo "make figure      the figure of the README (doc/perplexity.svg) and its table"
	@echo "make quality     methods at equal parameters on SmolLM2-135M, several seeds (BENCH='--help'; needs ../shared)"
	@echo "make fuzz        libFuzzer on what reads files and texts (SECONDS=600 FUZZ=tokenizer_json)"
	@echo "make install     PREFIX=/usr/local DESTDIR=; uninstall takes it away again"
	@echo "make format      clang-format; make tidy: clang-format, clang-tidy, cppcheck, shellcheck must be clean"
	@echo "make deps        install the Debian packages that the build needs; clean: remove build/"
