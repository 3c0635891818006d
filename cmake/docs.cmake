# Man pages from docs/man/*.scd, where scdoc is, and shell completion.
find_program(SCDOC scdoc)
if(SCDOC)
  set(pages)
  foreach(page berth.1 berthd.8 berth.yaml.5)
    set(out ${CMAKE_BINARY_DIR}/man/${page})
    add_custom_command(OUTPUT ${out} DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/${page}.scd
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/man
      COMMAND sh -c "${SCDOC} <${CMAKE_SOURCE_DIR}/docs/man/${page}.scd >${out}" VERBATIM)
    list(APPEND pages ${out})
    string(REGEX MATCH "[0-9]$" section ${page})
    install(FILES ${out} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endforeach()
  add_custom_target(man ALL DEPENDS ${pages})
else()
  message(STATUS "No scdoc: no man pages")
endif()
# the shell looks for a file named as the command
set(completions ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES docs/completion/berth DESTINATION ${completions})
install(FILES docs/completion/berth DESTINATION ${completions} RENAME berthd)
