# Language, warnings and sanitizers as interface targets; our code links them privately.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "Slipway needs g++ 12 or newer (this is ${CMAKE_CXX_COMPILER_VERSION})")
endif()

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(CCACHE ccache)
if(CCACHE)
  # Without the first two it passes over everything that uses a precompiled header (ccache manual).
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()

add_library(slipway_settings INTERFACE)
target_compile_features(slipway_settings INTERFACE cxx_std_20)
set(CMAKE_CXX_EXTENSIONS OFF)
target_compile_definitions(slipway_settings INTERFACE
  _FILE_OFFSET_BITS=64 SLIPWAY_VERSION="${PROJECT_VERSION}")
# ccache and precompiled headers agree only with this too.
target_compile_options(slipway_settings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)

find_program(MOLD mold)
find_program(LLD ld.lld)
if(MOLD)
  target_link_options(slipway_settings INTERFACE -fuse-ld=mold)
elseif(LLD)
  target_link_options(slipway_settings INTERFACE -fuse-ld=lld)
endif()

add_library(slipway_warnings INTERFACE)
target_compile_options(slipway_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual -Woverloaded-virtual
  -Wno-missing-field-initializers) # designated initialisers leave defaults on purpose
if(SLIPWAY_WERROR)
  target_compile_options(slipway_warnings INTERFACE -Werror)
endif()

if(SLIPWAY_SANITIZE)
  target_compile_options(slipway_settings INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1)
  target_link_options(slipway_settings INTERFACE -fsanitize=address,undefined)
  # Instrumented <regex> and <functional> look uninitialised to it (GCC bug 105562).
  target_compile_options(slipway_warnings INTERFACE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endif()

# libFuzzer is led by the coverage of our code, not only of the target's few lines.
if(SLIPWAY_FUZZ)
  target_compile_options(slipway_settings INTERFACE -fsanitize=fuzzer-no-link,address,undefined -g1)
  target_link_options(slipway_settings INTERFACE -fsanitize=address,undefined)
endif()
