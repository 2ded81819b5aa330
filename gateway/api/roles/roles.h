#pragma once
/* Local role-based access of a Managed HSM: role definitions, role assignments, settings. */

#include "gateway/api/route.h"

gw_handler gw_role_definitions_list;
gw_handler gw_role_definitions_get;
gw_handler gw_role_definitions_put;
gw_handler gw_role_definitions_delete;

gw_handler gw_role_assignments_list;
gw_handler gw_role_assignments_get;
gw_handler gw_role_assignments_put;
gw_handler gw_role_assignments_delete;

gw_handler gw_settings_list;
gw_handler gw_settings_get;
gw_handler gw_settings_update;
