/* Free memory of this node. Not collective. */
#ifndef OLICA_PAR_NODE_MEMORY_H
#define OLICA_PAR_NODE_MEMORY_H

/* Returns the bytes that this process can still allocate on this node: the system's available memory or the
 * rest of its control groups' limits (a batch job's limit), whichever is less; 0 if unknown. `root` is
 * prepended to /proc and /sys: "" except in tests. */
double olica_node_memory(const char *root);

#endif
