# Programs of clang's MemorySanitizer in a build of any compiler: each object is made by clang itself,
# at the product's optimisation. Without clang-14 the tests are there and fail, with the package's name.
find_program(CT_CLANG NAMES clang-14 clang)

set(CT_FLAGS -std=gnu11 -O2 -g -D_GNU_SOURCE -fno-strict-aliasing -Wall -Werror
  -Wno-unknown-pragmas -Wno-pass-failed
  -I${PROJECT_SOURCE_DIR})
set(CT_MSAN -fsanitize=memory -fno-sanitize-recover=memory -fno-omit-frame-pointer
  -include ${CMAKE_CURRENT_SOURCE_DIR}/msan/shim.h)

# ct_program(NAME PUBLIC sources... SECRET sources...): PUBLIC ones are not instrumented.
function(ct_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PUBLIC;SECRET")
  set(objects)
  foreach(kind PUBLIC SECRET)
    foreach(source ${arg_${kind}})
      string(REPLACE "/" "-" flat ${source})
      set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}/${flat}.o)
      set(flags ${CT_FLAGS})
      if(kind STREQUAL SECRET)
        list(APPEND flags ${CT_MSAN})
      endif()
      if(source STREQUAL crypto/rsa/rsa_public.c)
        list(APPEND flags -DCT_PUBLIC_VERDICT)
      elseif(source MATCHES "^crypto/ec/(sign|comb|point).c$")
        list(APPEND flags -DCT_PUBLIC_EQUALITY)
      endif()
      add_custom_command(OUTPUT ${object}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/${name}
        COMMAND ${CT_CLANG} ${flags} -MD -MF ${object}.d -c ${PROJECT_SOURCE_DIR}/${source} -o ${object}
        DEPENDS ${PROJECT_SOURCE_DIR}/${source} ${CMAKE_CURRENT_SOURCE_DIR}/msan/shim.h
        DEPFILE ${object}.d COMMENT "clang ${source}" VERBATIM)
      list(APPEND objects ${object})
    endforeach()
  endforeach()
  set(program ${CMAKE_CURRENT_BINARY_DIR}/${name}/${name})
  add_custom_command(OUTPUT ${program}
    COMMAND ${CT_CLANG} -fsanitize=memory ${objects} -o ${program} -lcrypto
    DEPENDS ${objects} COMMENT "clang: linking ${name}" VERBATIM)
  add_custom_target(ct-${name} ALL DEPENDS ${program})
endfunction()

if(NOT CT_CLANG)
  add_test(NAME ct/msan COMMAND sh -c "echo 'clang-14 and libclang-rt-14-dev are needed' >&2; exit 1")
  set_tests_properties(ct/msan PROPERTIES LABELS ct)
  return()
endif()

ct_program(msan_rsa
  PUBLIC tests/ct/msan/rsa_key.c crypto/rsa/rsa_ctx.c
  SECRET tests/ct/msan/msan_rsa.c tests/ct/msan/base.c crypto/rsa/mont.c crypto/rsa/mont_wide.c crypto/rsa/fold.c
    crypto/rsa/quad.c crypto/rsa/quad_setup.c
    crypto/rsa/rsa_exp.c
    crypto/rsa/rsa_private.c crypto/rsa/rsa_public.c crypto/rsa/slices.c)
ct_program(msan_aes
  SECRET tests/ct/msan/msan_aes.c tests/ct/msan/base.c crypto/aes/kw.c crypto/aes/gcm.c
    crypto/aes/gcm_bulk.c crypto/aes/cbc.c crypto/aes/schedule.c)
ct_program(msan_padding
  SECRET tests/ct/msan/msan_padding.c tests/ct/msan/base.c tests/ct/msan/digest.c
    crypto/padding/oaep.c crypto/padding/pkcs1.c crypto/padding/mgf1.c)
ct_program(msan_ec
  SECRET tests/ct/msan/msan_ec.c tests/ct/msan/base.c crypto/ec/comb.c crypto/ec/comb_build.c crypto/ec/curve.c
    crypto/ec/digits.c crypto/ec/ec_key.c crypto/ec/field.c crypto/ec/invert.c crypto/ec/modulus.c crypto/ec/nonce.c
    crypto/ec/order.c crypto/ec/point.c crypto/ec/sha512_x8.c crypto/ec/sign.c)
ct_program(leaky SECRET tests/ct/msan/leaky.c)

foreach(name msan_rsa msan_aes msan_padding msan_ec)
  add_test(NAME ct/${name} COMMAND ${CMAKE_CURRENT_BINARY_DIR}/${name}/${name})
  set_tests_properties(ct/${name} PROPERTIES LABELS ct TIMEOUT 300 SKIP_RETURN_CODE 77)
endforeach()
foreach(case skipped-product table-by-index gathered-table early-exit-compare division padding-search
    secret-length branch-behind-multiplier branch-behind-masked-load branch-behind-aes branch-on-mask)
  add_test(NAME ct/leaky/${case} COMMAND ${CMAKE_CURRENT_BINARY_DIR}/leaky/leaky ${case})
  set_tests_properties(ct/leaky/${case} PROPERTIES LABELS ct SKIP_RETURN_CODE 77
    PASS_REGULAR_EXPRESSION "MemorySanitizer: use-of-uninitialized-value")
endforeach()
