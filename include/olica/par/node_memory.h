/* What memory a process of this node can still have. Not collective. */
#ifndef OLICA_PAR_NODE_MEMORY_H
#define OLICA_PAR_NODE_MEMORY_H

/* Bytes that this node has left for us: what the system calls available, or what the control groups we are in
 * (a batch job's limit) leave, whichever is less; 0 where the system does not tell. `root` stands in front of
 * /proc and /sys: "" but in tests. */
double olica_node_memory(const char *root);

#endif
