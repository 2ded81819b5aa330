#pragma once
/** The page at / of the admin listener: one document without anything from elsewhere. */
extern const char gw_admin_page[];
