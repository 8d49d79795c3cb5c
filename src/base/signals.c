#include "base/signals.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t caught;

static void note(int number) {
  caught = number;
}

void olica_signals_catch(void) {
  struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

void olica_signals_release(void) {
  int number = caught;
  signal(SIGUSR1, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  if (number) raise(number);
}

int olica_signals_caught(void) {
  return (int)caught;
}

const char *olica_signals_name(int number) {
  return number == SIGUSR1 ? "SIGUSR1" : number == SIGTERM ? "SIGTERM" : "another signal";
}
