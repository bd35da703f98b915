"""What Mainstay is compared with: the least that a server can do, and the usual one."""
