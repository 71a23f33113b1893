"""The door events come in by. (being built)"""

from fastapi import APIRouter

router = APIRouter(tags=["ingest"])
