# cmake --install gives find_package(sinter) -> sinter::sinter, and the sinter command.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS sinter sinter_runtime sinter_ir sinter_compiler sinter_llvm sinter_parts sinter_frontend
        EXPORT sinter_targets)
foreach(folder runtime ir compiler frontend)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}/include/ TYPE INCLUDE OPTIONAL)
endforeach()
if(TARGET sinter_command)
  install(TARGETS sinter_command)
endif()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/sinter)
install(EXPORT sinter_targets NAMESPACE sinter:: DESTINATION ${package_folder})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/sinter_config.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/sinter-config.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/sinter-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sinter-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/sinter-config-version.cmake
        DESTINATION ${package_folder})
