# sinter_library(<name> [EXCLUDE <regex>] [LINK <target>...])
#
# Declares the static library <name> from every .cpp below the current folder, with the folder's
# include/ as its public headers. EXCLUDE leaves out paths, relative to the folder, that match.
# A folder without sources yet gives an interface library of the same name, so that whatever links
# it configures; the first source turns it into a real one.
function(sinter_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "EXCLUDE" "LINK")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS
       RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(arg_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${arg_EXCLUDE}")
  endif()
  if(sources)
    add_library(${name} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  if(sources)
    # What nearly every source includes. Sources still spell out what they use.
    target_precompile_headers(${name} PRIVATE <algorithm> <functional> <map> <optional> <set> <span>
                              <string> <variant> <vector> <fmt/format.h>)
  endif()
  target_include_directories(${name} ${scope}
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
  target_compile_features(${name} ${scope} cxx_std_20)
  target_link_libraries(${name} ${scope} ${arg_LINK})
endfunction()

# sinter_has_sources(<target> <variable>): false while the target's folder is still empty.
function(sinter_has_sources target variable)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "STATIC_LIBRARY")
    set(${variable} TRUE PARENT_SCOPE)
  else()
    set(${variable} FALSE PARENT_SCOPE)
  endif()
endfunction()
