# SPDX-License-Identifier: Apache-2.0
# Installed files and packages: see packaging/.
if(TARGET tenpak_cuda)
  install(TARGETS tenpak_cuda LIBRARY DESTINATION lib/tenpak)
endif()
