# Flags that every target shares. Warnings are errors; hardening is on in every build but the sanitized ones.
add_compile_options(
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
  -Wwrite-strings -Wimplicit-fallthrough -Wformat=2 -Wundef -fno-common -fno-strict-aliasing
  -fvisibility=hidden)
add_compile_definitions(_GNU_SOURCE)
include_directories(${PROJECT_SOURCE_DIR})

if(KEYWARD_SANITIZE)
  add_compile_options(-fsanitize=${KEYWARD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${KEYWARD_SANITIZE})
else()
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    add_compile_options(-fcf-protection)
  endif()
  if(CMAKE_BUILD_TYPE MATCHES "Rel")
    add_compile_definitions(_FORTIFY_SOURCE=2)
  endif()
  add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()

if(KEYWARD_FUZZ)
  # the warnings that count are those of the build that ships
  add_compile_options(-fsanitize=fuzzer-no-link -Wno-error)
endif()
