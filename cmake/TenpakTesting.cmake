# SPDX-License-Identifier: Apache-2.0
# Every test carries a label: quick (each CI run) or nightly (long fuzzing, soak, real data).
set(TENPAK_TEST_ENV "QT_QPA_PLATFORM=offscreen" "TENPAK_SHARED_DATA=${CMAKE_SOURCE_DIR}/../shared/data"
    "UBSAN_OPTIONS=print_stacktrace=1" "ASAN_OPTIONS=allocator_may_return_null=1")  # memory that cannot be had is an error to test

# tenpak_add_core_test(NAME delta SOURCES a_test.cpp ... [LIBS x] [LABEL quick|nightly] [TIMEOUT s])
# makes the GTest program tenpak_test_NAME, registered as one ctest entry.
function(tenpak_add_core_test)
  cmake_parse_arguments(T "" "NAME;LABEL;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  if(NOT T_LABEL)
    set(T_LABEL quick)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 300)
  endif()
  add_executable(tenpak_test_${T_NAME} ${T_SOURCES})
  target_link_libraries(tenpak_test_${T_NAME} PRIVATE tenpak_core tenpak::options GTest::gtest GTest::gmock GTest::gtest_main ${T_LIBS})
  target_compile_definitions(tenpak_test_${T_NAME} PRIVATE TENPAK_SOURCE_DIR="${CMAKE_SOURCE_DIR}" TENPAK_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  target_precompile_headers(tenpak_test_${T_NAME} REUSE_FROM tenpak_test_pch)
  add_test(NAME core.${T_NAME} COMMAND tenpak_test_${T_NAME})
  set_tests_properties(core.${T_NAME} PROPERTIES LABELS ${T_LABEL} TIMEOUT ${T_TIMEOUT} ENVIRONMENT "${TENPAK_TEST_ENV}")
endfunction()

# tenpak_add_qt_test(NAME jobs SOURCES ... LIBS tenpak_app|tenpak_ui [LABEL ...]) makes a QtTest program, offscreen.
function(tenpak_add_qt_test)
  cmake_parse_arguments(T "" "NAME;LABEL;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  if(NOT T_LABEL)
    set(T_LABEL quick)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 300)
  endif()
  add_executable(tenpak_qtest_${T_NAME} ${T_SOURCES})
  set_target_properties(tenpak_qtest_${T_NAME} PROPERTIES AUTOMOC ON)
  target_compile_definitions(tenpak_qtest_${T_NAME} PRIVATE TENPAK_SOURCE_DIR="${CMAKE_SOURCE_DIR}" TENPAK_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  target_link_libraries(tenpak_qtest_${T_NAME} PRIVATE tenpak::options Qt6::Test ${T_LIBS})
  add_test(NAME qt.${T_NAME} COMMAND tenpak_qtest_${T_NAME})
  set_tests_properties(qt.${T_NAME} PROPERTIES LABELS ${T_LABEL} TIMEOUT ${T_TIMEOUT} ENVIRONMENT "${TENPAK_TEST_ENV}")
endfunction()
