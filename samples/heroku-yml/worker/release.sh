#!/bin/sh
echo "migrating nothing"
