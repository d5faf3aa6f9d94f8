# SPDX-License-Identifier: Apache-2.0
# One INTERFACE target carries every flag; all targets link it PRIVATE, nothing sets flags globally.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set_property(GLOBAL PROPERTY USE_FOLDERS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

# Line tables are enough for stack traces and build half as fast as full debug information.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1" CACHE STRING "" FORCE)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "" FORCE)

find_program(TENPAK_CCACHE ccache)
if(TENPAK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(_launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_NOHASHDIR=1
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${TENPAK_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${_launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${_launcher})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${_launcher})
endif()

add_library(tenpak_options INTERFACE)
add_library(tenpak::options ALIAS tenpak_options)
target_include_directories(tenpak_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_definitions(tenpak_options INTERFACE _FILE_OFFSET_BITS=64 TENPAK_VERSION="${PROJECT_VERSION}")
target_compile_options(tenpak_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual>
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>)
# Bit-exact results on every machine: no contraction of a*b+c into fma unless a kernel asks for it itself.
target_compile_options(tenpak_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
if(TENPAK_WERROR)
  target_compile_options(tenpak_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(TENPAK_SANITIZE)
  target_compile_options(tenpak_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${TENPAK_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all>)
  target_link_options(tenpak_options INTERFACE -fsanitize=${TENPAK_SANITIZE})
endif()
find_package(Threads REQUIRED)
target_link_libraries(tenpak_options INTERFACE Threads::Threads)
