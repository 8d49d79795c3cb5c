/* LD_PRELOAD for bench_model.py: the program's clock (base/timer.c, CLOCK_BOOTTIME) shows the seconds that
 * this process has had on a processor. On a machine that others use too, the phases of a job on one rank and
 * one thread are then what they would be on a quiet one, but for caches that are shared and for waiting for
 * files. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
  return (int)syscall(SYS_clock_gettime, clock == CLOCK_BOOTTIME ? CLOCK_PROCESS_CPUTIME_ID : clock, now);
}
