# SPDX-License-Identifier: Apache-2.0
# Installed files and packages: see packaging/.
