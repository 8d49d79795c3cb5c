#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hdf5_private.h"

/* Sets up Open MPI and HDF5. Open MPI's other collective write algorithms let aggregators write for all
 * ranks: on a full disk they lose data silently or block ranks, and data sieving mixes up small writes. Our
 * ranks' parts are contiguous, so aggregation gains nothing. HDF5, if started before MPI, does not attach to
 * MPI_Finalize; there it would close abandoned files, and ranks that fail would block the others. Shared file
 * pointers, which we do not use, would create a lock file beside ours, whose name Open MPI 4.1 builds in 256
 * bytes, whatever the path's length, or a semaphore in /dev/shm, without which no file can be opened. */
void olica_hdf5_start(void) {
  setenv("OMPI_MCA_fcoll", "individual", 0);
  setenv("OMPI_MCA_fbtl_posix_write_datasieving", "0", 0);
  bool semaphores = access("/dev/shm", W_OK | X_OK) == 0;
  setenv("OMPI_MCA_sharedfp", semaphores ? "^lockedfile" : "^lockedfile,sm", 0);
  H5dont_atexit();
  H5open();
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* Only ROMIO knows prefixes; with Open MPI's own MPI-IO no file of this name exists. */
static bool takes_prefixes(void) {
  MPI_File file;
  if (MPI_File_open(MPI_COMM_SELF, "ufs:/proc/self/exe", MPI_MODE_RDONLY, MPI_INFO_NULL, &file)) return false;
  MPI_File_close(&file);
  return true;
}

olica_status olica_hdf5_check_name(olica_env *env, const char *setting, const char *path) {
  if (!strchr(path, ':') || !takes_prefixes()) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_CONFIG,
                         "%s: %s has a colon, which ROMIO (OMPI_MCA_io) takes for the end of a file system's "
                         "name; expected a path without one (as seen from where the job starts), or Open "
                         "MPI's own MPI-IO (OMPI_MCA_io=ompio)",
                         setting, path);
}

/* The fields must fit the old size before the new size is set; this is h5py's order. */
static hid_t half(void) {
  hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  if (type < 0) return type;
  if (H5Tset_fields(type, 15, 10, 5, 0, 10) >= 0 && H5Tset_size(type, 2) >= 0 && H5Tset_ebias(type, 15) >= 0)
    return type;
  H5Tclose(type);
  return H5I_INVALID_HID;
}

hid_t olica_hdf5_datatype(olica_element type) {
  switch (type) {
  case OLICA_ELEMENT_FP32:
    return H5Tcopy(H5T_IEEE_F32LE);
  case OLICA_ELEMENT_FP16:
    return half();
  case OLICA_ELEMENT_BF16:
    return H5Tcopy(H5T_STD_U16LE);
  case OLICA_ELEMENT_INT32:
    return H5Tcopy(H5T_STD_I32LE);
  case OLICA_ELEMENT_BYTES:
    return H5Tcopy(H5T_STD_U8LE);
  case OLICA_ELEMENT_FP64:
    return H5Tcopy(H5T_IEEE_F64LE);
  default:
    return H5I_INVALID_HID;
  }
}

/* Collects the two innermost entries, which name the cause; those above name only the callers. */
static herr_t collect(unsigned n, const H5E_error2_t *error, void *to) {
  char *text = to;
  const char *said = error->desc ? error->desc : "";
  if (n == 0) snprintf(text, OLICA_HDF5_REASON / 2, "%s", said);
  if (n == 1) {
    size_t used = 0;
    while (text[used]) used++;
    snprintf(text + used, OLICA_HDF5_REASON - used, " (%.*s)", OLICA_HDF5_REASON / 2 - 4, said);
  }
  return 0;
}

void olica_hdf5_reason(char *text) {
  snprintf(text, OLICA_HDF5_REASON, "HDF5 gives no reason");
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, text);
}
