# The crypto tests once more on each lower path of the dispatch, and the long run against OpenSSL.
file(GLOB DIFFERENTIAL_PARTS CONFIGURE_DEPENDS unit/crypto/differential/*_part.c)
target_sources(unit-crypto-differential-test_differential PRIVATE ${DIFFERENTIAL_PARTS})
target_sources(unit-crypto-faults-test_faults PRIVATE unit/crypto/faults/fault_exp_part.c)

if(KEYWARD_SANITIZE)
  target_compile_definitions(unit-crypto-differential-test_differential PRIVATE OPERATIONS=6000)
  target_compile_definitions(unit-crypto-faults-test_faults PRIVATE FAULTS=200)
  return()
endif()

# those that go through the dispatch; the others call one kernel, or none, on every path
file(GLOB_RECURSE CRYPTO_TESTS CONFIGURE_DEPENDS unit/crypto/test_*.c)
list(FILTER CRYPTO_TESTS INCLUDE REGEX "/(aes|differential|domain|faults|keys|lanes|wrap)/")
file(GLOB_RECURSE VECTOR_TESTS CONFIGURE_DEPENDS vectors/test_*.c)
foreach(path openssl avx2)
  foreach(source ${CRYPTO_TESTS} ${VECTOR_TESTS})
    file(RELATIVE_PATH relative ${CMAKE_CURRENT_SOURCE_DIR} ${source})
    string(REGEX REPLACE "\\.c$" "" name ${relative})
    string(REGEX REPLACE "/.*" "" label ${relative})
    string(REPLACE "/" "-" target ${name})
    set(arguments)
    if(name MATCHES "test_differential$")
      set(arguments 4000) # OpenSSL against itself: the way around it is what is tested
    elseif(name MATCHES "test_faults$")
      set(arguments 300)
    endif()
    add_test(NAME ${name}@${path} COMMAND ${target} ${arguments}
      WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
    set_tests_properties(${name}@${path} PROPERTIES LABELS ${label} TIMEOUT 300 SKIP_RETURN_CODE 77
      ENVIRONMENT KEYWARD_CPU=${path})
  endforeach()
endforeach()

add_test(NAME unit/crypto/differential/million
  COMMAND unit-crypto-differential-test_differential 1000000)
set_tests_properties(unit/crypto/differential/million PROPERTIES LABELS "unit;slow" TIMEOUT 1800)

add_test(NAME unit/crypto/faults/hundred-thousand COMMAND unit-crypto-faults-test_faults 100000)
set_tests_properties(unit/crypto/faults/hundred-thousand PROPERTIES LABELS "unit;slow" TIMEOUT 3600)
