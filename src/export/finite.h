/* The numbers of an export, read again. Private to export. */
#ifndef OLICA_EXPORT_FINITE_H
#define OLICA_EXPORT_FINITE_H

#include "io/catalog.h"

/* Checks that the numbers of this rank's share of all tensors are finite; of a Q8_0 tensor its scales.
 * Tensors are of types F32, F16, BF16 and Q8_0, of one or two dimensions. OLICA_ERR_INPUT names the first
 * that is not. Not collective, but every rank does its own share. */
olica_status olica_export_check_finite(olica_catalog *catalog);

#endif
