# `cmake --install BUILD --prefix P` installs what stands alone, tensor and autograd, as a CMake package, and the program.
#   find_package(plumage COMPONENTS autograd)   gives plumage::autograd and plumage::tensor (docs/gradcheck.md)
# `--component autograd` leaves the program out.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(plumage_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/plumage)
if(PLUMAGE_SANITIZE)
  target_link_options(plumage_tensor INTERFACE $<INSTALL_INTERFACE:-fsanitize=address,undefined>)
endif()
install(TARGETS plumage_tensor plumage_autograd EXPORT plumage_targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT autograd)
install(EXPORT plumage_targets NAMESPACE plumage:: FILE plumage-targets.cmake
  DESTINATION ${plumage_package_dir} COMPONENT autograd)

# The headers keep their folders, since they include each other from the root. What a backend has inside stays inside.
install(DIRECTORY tensor autograd DESTINATION include/plumage COMPONENT autograd
  FILES_MATCHING PATTERN "*.h" PATTERN "ops.def"
  PATTERN "ref" EXCLUDE PATTERN "cpu" EXCLUDE PATTERN "cuda" EXCLUDE PATTERN "absent" EXCLUDE PATTERN "rules" EXCLUDE)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/plumage-config.cmake.in
  ${PROJECT_BINARY_DIR}/plumage-config.cmake INSTALL_DESTINATION ${plumage_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/plumage-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/plumage-config.cmake ${PROJECT_BINARY_DIR}/plumage-config-version.cmake
  DESTINATION ${plumage_package_dir} COMPONENT autograd)

if(TARGET plumage)
  install(TARGETS plumage RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
endif()
