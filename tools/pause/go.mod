module localhost/tools/pause

go 1.21
