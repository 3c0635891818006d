/* server/embedded.h - files of this folder that the program carries within it; CMake makes them C.
 */
#ifndef BTH_EMBEDDED_H
#define BTH_EMBEDDED_H

#include <stddef.h>

extern const unsigned char bth_openapi[]; /* openapi.json */
extern const size_t bth_openapi_size;
extern const unsigned char bth_dashboard[]; /* dashboard.html */
extern const size_t bth_dashboard_size;

#endif
