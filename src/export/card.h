/* README.md of an exported directory: the model card. Private to export. */
#ifndef OLICA_EXPORT_CARD_H
#define OLICA_EXPORT_CARD_H

#include "kind.h"

/* Rank 0: writes it. */
olica_status olica_export_card(olica_export *e);

#endif
