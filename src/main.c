/* olica_mpi: a session of the library that runs a command line. */
#include "olica.h"

enum { NO_MEMORY = 6 };

#ifdef __SANITIZE_ADDRESS__
/* MPI and its libraries keep memory to the end of the process, and the sanitizer would list all of it behind
 * every run: ASAN_OPTIONS=detect_leaks=1 has it do so. Ours is looked for by valgrind (make memcheck). */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "detect_leaks=0";
}
#endif

int main(int argc, char **argv) {
  olica *o = olica_create();
  if (!o) return NO_MEMORY;
  if (!olica_start(o, argc, argv)) return olica_destroy(o);
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &(int){0});
  if (olica_attach(o, MPI_COMM_WORLD) == 0) olica_command_run(o);
  int status = olica_destroy(o);
  MPI_Finalize();
  return status;
}
