"""Takes lines; when one says `secret`, asks for a password without echo, then goes on."""

import getpass

while True:
    if "secret" in input("line> "):
        getpass.getpass("Password: ")
        print("thank you")
