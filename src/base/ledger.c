#include "base/ledger.h"

static void lift(size_t *most, size_t bytes) {
  if (bytes > *most) *most = bytes;
}

size_t olica_ledger_share(size_t bytes, int ranks) {
  return (bytes + (size_t)ranks - 1) / (size_t)ranks;
}

static olica_hold hold(olica_ledger *ledger, olica_hold more) {
  ledger->now += more.rank;
  ledger->node += more.node;
  lift(&ledger->peak, ledger->now);
  lift(&ledger->node_peak, ledger->node);
  return more;
}

olica_hold olica_ledger_hold(olica_ledger *ledger, size_t bytes) {
  return hold(ledger, (olica_hold){.rank = bytes});
}

olica_hold olica_ledger_hold_node(olica_ledger *ledger, size_t bytes) {
  int ranks = ledger->node_ranks > 0 ? ledger->node_ranks : 1;
  return hold(ledger, (olica_hold){.rank = olica_ledger_share(bytes, ranks), .node = bytes});
}

olica_hold olica_ledger_mark(const olica_ledger *ledger) {
  return (olica_hold){.rank = ledger->now, .node = ledger->node};
}

olica_hold olica_ledger_since(const olica_ledger *ledger, olica_hold mark) {
  return (olica_hold){.rank = ledger->now - mark.rank, .node = ledger->node - mark.node};
}

void olica_ledger_rewind(olica_ledger *ledger, olica_hold mark) {
  olica_ledger_release(ledger, olica_ledger_since(ledger, mark));
}

void olica_ledger_release(olica_ledger *ledger, olica_hold hold) {
  ledger->now -= hold.rank;
  ledger->node -= hold.node;
}

void olica_ledger_touch(olica_ledger *ledger, size_t bytes) {
  olica_ledger_release(ledger, olica_ledger_hold(ledger, bytes));
}

void olica_ledger_reserve(olica_ledger *ledger, size_t bytes) {
  lift(&ledger->workspace, bytes);
}

olica_hold olica_ledger_replay(olica_ledger *ledger, const olica_ledger *moments) {
  lift(&ledger->peak, ledger->now + moments->peak);
  lift(&ledger->node_peak, ledger->node + moments->node_peak);
  lift(&ledger->workspace, moments->workspace);
  return hold(ledger, (olica_hold){.rank = moments->now, .node = moments->node});
}

olica_ledger olica_ledger_empty(const olica_ledger *ledger) {
  return (olica_ledger){.node_ranks = ledger->node_ranks};
}

void olica_ledger_join(olica_ledger *ledger, const olica_ledger *copy) {
  lift(&ledger->peak, copy->peak);
  lift(&ledger->node_peak, copy->node_peak);
  lift(&ledger->workspace, copy->workspace);
}
