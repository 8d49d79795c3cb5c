/* replay FILE...: runs a target on its seeds and on a fixed set of mutations of them, without libFuzzer. A
 * crash, a sanitizer's report or a broken contract ends it; otherwise the last line is a count. */
#include "fuzz.h"

enum { CHANGES = 200, SEED_BYTES = 1 << 20 };

/* The same pseudo-random numbers on every machine (splitmix64). */
static uint64_t next(uint64_t *state) {
  uint64_t x = *state += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Truncates, overwrites, flips, or repeats a part; `data` has space for twice its bytes. */
static size_t change(uint8_t *data, size_t size, uint64_t *state) {
  static const char special[] = "\"{}[]:,\\0-9e.\x00\xff\x80\xe2\x96\x81\xf0 null";
  if (size == 0) return 0;
  size_t at = next(state) % size, bytes = 1 + next(state) % 8;
  if (bytes > size - at) bytes = size - at;
  switch (next(state) % 5) {
  case 0:
    data[at] ^= (uint8_t)(1u << next(state) % 8);
    return size;
  case 1:
    data[at] = (uint8_t)special[next(state) % sizeof special];
    return size;
  case 2:
    memmove(data + at, data + at + bytes, size - at - bytes);
    return size - bytes;
  case 3:
    memmove(data + at + bytes, data + at, size - at);
    return size + bytes;
  default:
    return at;
  }
}

static long replay(const char *path) {
  FILE *file = fopen(path, "rb");
  uint8_t *seed = malloc(SEED_BYTES), *changed = malloc(2 * SEED_BYTES);
  if (!file || !seed || !changed) {
    perror(path);
    exit(1);
  }
  size_t size = fread(seed, 1, SEED_BYTES, file);
  fclose(file);
  uint64_t state = size;
  long runs = 0;
  LLVMFuzzerTestOneInput(seed, size);
  for (runs = 1; runs <= CHANGES; runs++) {
    memcpy(changed, seed, size);
    size_t now = size;
    for (uint64_t n = 1 + next(&state) % 4; n > 0; n--) now = change(changed, now, &state);
    LLVMFuzzerTestOneInput(changed, now);
  }
  free(seed);
  free(changed);
  return runs;
}

int main(int argc, char **argv) {
  long runs = 0;
  for (int i = 1; i < argc; i++) runs += replay(argv[i]);
  printf("%ld passed, 0 failed\n", runs);
  return runs > 0 ? 0 : 1;
}
