# For Spack 1.0 and later. From the top of a clone of olica_mpi, whose last commit is what is built:
#   spack repo add packaging/spack_repo/olica
#   spack install olica-mpi
import pathlib

from spack_repo.builtin.build_systems.makefile import MakefilePackage

from spack.package import *


class OlicaMpi(MakefilePackage):
    """Structured pruning of LLaMA-type language models over MPI, by the method Olica: no gradients, only
    eigenproblems and least-squares fits on sums over calibration tokens."""

    homepage = "https://arxiv.org/abs/2506.08436"
    # The recipe lies in the repository that it is for.
    git = pathlib.Path(__file__).resolve().parents[5].as_uri()

    version("main", branch="main", get_full_repo=True)

    depends_on("c", type="build")
    depends_on("gmake", type="build")
    depends_on("pkgconfig", type="build")

    depends_on("openmpi@4:", type=("build", "link", "run"))
    depends_on("netlib-scalapack+shared")
    depends_on("hdf5@1.10:1.14+mpi")
    depends_on("petsc@3.18:+mpi~complex")
    depends_on("slepc@3.18:")
    depends_on("openblas threads=openmp")
    # Version 3 of oneDNN has another C interface.
    depends_on("onednn@2.5:2")
    depends_on("jansson@2.12:")
    depends_on("zlib-api")
    depends_on("pcre2")
    depends_on("utf8proc")

    def makefile_names(self):
        """The libraries under their own names for pkg-config, not Debian's."""
        onednn = self.spec["onednn"].prefix
        libdnnl = find_libraries("libdnnl", root=onednn, shared=True, recursive=True)
        return [
            f"CC={self.spec['openmpi'].mpicc}",
            "SCALAPACK=scalapack",
            "HDF5=hdf5",
            f"ONEDNN=-I{onednn.include} {libdnnl.ld_flags}",
            # Spack's compiler wrapper knows the processor to build for.
            "flags_release=-O3 -fno-math-errno -fno-trapping-math -g",
        ]

    @property
    def build_targets(self):
        return self.makefile_names() + ["all"]

    @property
    def install_targets(self):
        return self.makefile_names() + [f"PREFIX={self.prefix}", "install"]

    @run_after("install")
    @on_package_attributes(run_tests=True)
    def prune_the_demo(self):
        """The small model that is installed with the examples, on two ranks."""
        examples = self.prefix.share.olica_mpi.input
        mpirun = Executable(self.spec["openmpi"].prefix.bin.mpirun)
        with working_dir("demo", create=True):
            out = pathlib.Path.cwd()
            mpirun(
                "--oversubscribe", "-n", "2", self.prefix.bin.olica_mpi,
                "--set", f"output.checkpoint={out}/pruned.h5", "--set", "output.report=",
                examples.demo.join("config.ini"),
            )
